import { distinctApprovers } from '../domain/approval/approval-policy.js';
import type { ClusterConfig, Config, PolicyConfig } from '../domain/config.js';
import { dailyCheckSchedule } from '../domain/operation/names.js';
import { engineKinds } from '../engines/registry.js';
import type { ConfigPath, Problem } from './problem.js';
import { isHookStep } from './resolve-defaults.js';
import { recoverySteps } from './schema/cluster.js';
import { didYouMean } from './suggest.js';

/** What is wrong within one cluster and between it and what it names. */
export function checkCluster(config: Pick<Config, 'repositories'>, name: string, cluster: ClusterConfig): Problem[] {
  const at = ['clusters', name];
  return [
    ...repeated(cluster.databases, [...at, 'databases'], 'database'),
    ...checkDatabases(at, cluster),
    ...checkPolicies(config, at, cluster),
    ...checkPreviousNames(at, cluster),
    ...checkArchivers(at, cluster),
    ...checkSteps(at, cluster),
    ...checkTargets(at, cluster),
    ...checkOldData(at, cluster),
    ...checkHooks(at, cluster),
    ...checkTables(at, cluster),
    ...checkApprovals(at, cluster),
  ];
}

function checkDatabases(at: ConfigPath, { databases }: ClusterConfig): Problem[] {
  const index = databases.indexOf('template0');
  if (index === -1) return [];
  const hint = 'remove it: every cluster has its own, and new databases are made from it';
  return [{ path: [...at, 'databases', index], message: 'template0 takes no connections and holds no data', hint }];
}

/** Folders that a cluster's catalogue has beside those of its policies, and the name of a schedule. */
const reservedPolicies = ['records', 'incidents', 'evidence', dailyCheckSchedule];

function checkPolicies(config: Pick<Config, 'repositories'>, at: ConfigPath, cluster: ClusterConfig): Problem[] {
  const reserved = Object.keys(cluster.policies)
    .filter((name) => reservedPolicies.includes(name))
    .map((name) => ({
      path: [...at, 'backups', name],
      message: `a policy may not be named ${name}`,
      hint:
        name === dailyCheckSchedule ? 'a schedule of its own has that name' : "the catalogue's folder has that name",
    }));
  const named = Object.entries(cluster.policies).map(([name, { repository }]) => ({
    path: [...at, 'backups', name],
    repository,
  }));
  const elsewhere = [...named, { path: [...at, 'catalogue'], repository: cluster.catalogue }].flatMap(
    ({ path, repository }) => {
      const host = config.repositories[repository]?.host;
      if (host === undefined || host === cluster.host) return [];
      const message = `repository ${repository} is a directory of host ${host}, the cluster is on ${cluster.host}`;
      return [{ path, message, hint: `name a repository that host ${cluster.host} can reach` }];
    },
  );
  const lacking = Object.entries(cluster.policies).flatMap(([name, { engine }]): Problem[] => {
    const method = engineKinds[engine]?.capabilities.method;
    const path = [...at, 'backups', name];
    if (method === 'data-directory' && cluster.dataDir === undefined) {
      return [
        {
          path,
          message: `engine ${engine} backs up a data directory, and the cluster has none`,
          hint: 'add data_dir: to the cluster',
        },
      ];
    }
    if (method === 'databases' && cluster.databases.length === 0) {
      return [
        {
          path,
          message: `engine ${engine} backs up databases, and the cluster has none`,
          hint: 'add databases: [NAME] to the cluster',
        },
      ];
    }
    return [];
  });
  const encryption = Object.entries(cluster.policies).flatMap(([name, policy]) =>
    checkEncryption(policy, [...at, 'backups', name]),
  );
  return [...reserved, ...elsewhere, ...lacking, ...encryption];
}

function checkEncryption({ engine, proof, encryption }: PolicyConfig, at: ConfigPath): Problem[] {
  if (encryption === undefined) return [];
  const problems: Problem[] = [];
  const path = [...at, 'encryption'];
  if (engineKinds[engine]?.capabilities.encrypts !== true) {
    problems.push({
      path,
      atKey: true,
      message: `what engine ${engine} writes is not encrypted by Reprise`,
      hint: "remove it, and use the engine's own encryption (pgBackRest: repo1-cipher-type in pgbackrest.conf), or an encrypted file system",
    });
  }
  if (proof !== 'none' && encryption.identity === undefined) {
    problems.push({
      path: [...at, 'proof'],
      message: `proof: ${proof} reads every backup, and encryption names no identity to read it with`,
      hint: 'add encryption.identity: { file: PATH }; or proof: none, and verify backups on a host that has a key',
    });
  }
  return problems;
}

/** A name has one policy: it would not be known whose its backups are. */
function checkPreviousNames(at: ConfigPath, { policies }: ClusterConfig): Problem[] {
  const claims = Object.values(policies).flatMap(({ name, previousNames = [] }) =>
    previousNames.map((before, index) => ({ name, before, path: [...at, 'backups', name, 'previous_names', index] })),
  );
  return claims.flatMap(({ name, before, path }, index): Problem[] => {
    if (policies[before] !== undefined)
      return [
        {
          path,
          message: `${before} is the name of a policy that there is`,
          hint: 'name only policies that are no longer in the file',
        },
      ];
    const first = claims.findIndex((claim) => claim.before === before);
    return first === index
      ? []
      : [{ path, message: `${before} is named twice`, hint: `keep it in one of ${claims[first]?.name}, ${name}` }];
  });
}

/** A cluster has one `archive_command`: of two engines that archive, one would get no WAL. */
function checkArchivers(at: ConfigPath, cluster: ClusterConfig): Problem[] {
  const [first, ...others] = Object.entries(cluster.policies).filter(
    ([, { engine, enabled, options }]) =>
      enabled && engineKinds[engine]?.capabilities.archivesWal && !engineKinds[engine].receives?.(options),
  );
  return others.map(([name]) => ({
    path: [...at, 'backups', name],
    message: `policies ${first?.[0]} and ${name} both need the archive_command of this cluster`,
    hint: 'keep one, or set enabled: false on the other',
  }));
}

function checkSteps(at: ConfigPath, cluster: ClusterConfig): Problem[] {
  const path = [...at, 'recovery', 'steps'];
  const { steps } = cluster.recovery;
  const inOrder = recoverySteps.filter((step) => steps.includes(step));
  const problems: Problem[] = steps.flatMap((step, index) =>
    isHookStep(step) && !(step in cluster.hooks)
      ? [
          {
            path: [...path, index],
            message: `step ${step} needs a hook of that name`,
            hint: `add hooks: { ${step}: { argv: [...] } }`,
          },
        ]
      : [],
  );
  if (!steps.includes('restore'))
    problems.push({ path, message: 'the steps lack restore', hint: `the whole order is: ${recoverySteps.join(', ')}` });
  if (steps.join() !== inOrder.join()) {
    problems.push({
      path,
      message: 'the steps are not in the order of the runbook, or one is listed twice',
      hint: `write: [${inOrder.join(', ')}]`,
    });
  }
  return problems;
}

function checkTargets(at: ConfigPath, cluster: ClusterConfig): Problem[] {
  return Object.entries(cluster.recovery.targets).flatMap(([name, { host, port }]) => {
    const path = [...at, 'recovery', 'targets', name];
    const problems: Problem[] = [];
    if (name === 'in-place')
      problems.push({
        path,
        message: 'a target may not be named in-place',
        hint: "--into in-place is the cluster's own directory",
      });
    if (host === cluster.host && port === cluster.connection.port) {
      problems.push({
        path: [...path, 'port'],
        message: `port ${port} is the cluster's own`,
        hint: 'give the recovered server another one',
      });
    }
    return problems;
  });
}

function checkOldData(at: ConfigPath, { recovery: { oldData }, dataDir }: ClusterConfig): Problem[] {
  if (oldData.mode !== 'aside-on' || dataDir === undefined || !`${oldData.path}/`.startsWith(`${dataDir}/`)) return [];
  return [
    {
      path: [...at, 'recovery', 'old_data', 'path'],
      message: `${oldData.path} is inside the data directory that is replaced`,
      hint: 'name a directory outside of it',
    },
  ];
}

function checkHooks(at: ConfigPath, cluster: ClusterConfig): Problem[] {
  const names = Object.keys(cluster.hooks);
  return Object.entries(cluster.hooks).flatMap(([name, { undo }]) => {
    const path = [...at, 'hooks', name, 'undo'];
    if (undo === name)
      return [{ path, message: 'a hook cannot undo itself', hint: 'name the hook that does the opposite' }];
    if (undo !== undefined && name === 'start-applications')
      return [
        {
          path,
          message: 'start-applications is the last step of a recovery: it cannot be undone',
          hint: 'give stop-applications an undo instead',
        },
      ];
    if (undo === undefined || names.includes(undo)) return [];
    return [{ path, message: `unknown hook ${JSON.stringify(undo)}`, hint: didYouMean(undo, names, 'hooks') }];
  });
}

function checkApprovals(at: ConfigPath, cluster: ClusterConfig): Problem[] {
  return Object.entries(cluster.approvals).flatMap(([action, policy]) => {
    const path = [...at, 'approvals', action];
    const problems = repeated(policy.from, [...path, 'from'], 'contact');
    const people = distinctApprovers(policy);
    if (policy.approvers > people) {
      const known = policy.matchPrincipal ? 'the same principal, or different spellings,' : 'different spellings';
      const message =
        people < policy.from.length
          ? `${policy.approvers} approvers are required, and from: names ${people}: ${known} count once`
          : `${policy.approvers} approvers are required, and from: names ${people}`;
      problems.push({
        path: [...path, 'approvers'],
        message,
        hint: 'no plan could be approved: name more contacts, or set fewer approvers',
      });
    }
    return problems;
  });
}

function repeated(values: readonly string[], path: ConfigPath, what: string): Problem[] {
  return values.flatMap((value, index) =>
    values.indexOf(value) === index
      ? []
      : [
          {
            path: [...path, index],
            message: `${what} ${JSON.stringify(value)} appears here twice`,
            hint: 'keep one of them',
          },
        ],
  );
}

/** What stops for a repair has to be started again, however the repair ends. */
function checkTables(at: ConfigPath, { tables = {}, hooks }: ClusterConfig): Problem[] {
  return Object.entries(tables).flatMap(([table, { hooks: named }]) =>
    named.flatMap((name, index): Problem[] => {
      const path = [...at, 'tables', table, 'hooks', index];
      const names = Object.keys(hooks);
      if (named.indexOf(name) !== index) return [{ path, message: `${name} is named twice`, hint: 'keep one of them' }];
      if (!names.includes(name))
        return [{ path, message: `unknown hook ${JSON.stringify(name)}`, hint: didYouMean(name, names, 'hooks') }];
      if (hooks[name]?.undo !== undefined) return [];
      return [
        {
          path,
          message: `the hook ${name} has no undo: what it stops would not be started again`,
          hint: `add undo: to hooks.${name}`,
        },
      ];
    }),
  );
}
