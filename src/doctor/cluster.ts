import { BIND_IT, UNBOUND, unboundActions } from '../domain/approval/approval-policy.js';
import type { ClusterConfig, Config } from '../domain/config.js';
import { collectFindings, problem, warning, type Finding } from '../domain/findings.js';
import { acceptCommand, toolRepository } from '../domain/storage/repository-identity.js';
import { isLoopback } from '../domain/plain-address.js';
import { engineKinds } from '../engines/registry.js';
import { sessionTimeouts, timeoutsInWords, timeoutsOff } from '../postgres/connection/session-timeouts.js';
import { resolveSecret } from '../process/exec/secrets.js';
import { openDescribed } from '../storage/open-storage.js';
import { requireProgram } from '../process/exec/find-programs.js';
import { canaryFindings } from './canary.js';
import { archiveCommands, archiveFindings } from './archive.js';
import { copyFindings } from './copies.js';
import { identityFinding } from './repository.js';
import { dataDirFindings, passfileFindings } from './files.js';
import { encryptionFindings } from './encryption.js';
import { slotFindings } from './slots.js';
import { objectiveFindings } from './objectives.js';
import { rightsFindings } from './rights.js';
import { databaseFindings, inspectServer, serverFindings, versionOnDisk, type Server } from './server.js';
import { toolFindings } from './tools.js';

/** One cluster as this host sees it: server, tools, archive, copies, approvals. */
export async function clusterFindings(config: Config, cluster: ClusterConfig): Promise<readonly Finding[]> {
  const check = `cluster/${cluster.name}`;
  const server = await inspectServer(cluster);
  const version = 'versionNum' in server ? server.versionNum : await versionOnDisk(cluster);
  const parts = await Promise.all([
    collectFindings(`${check}/engine`, () => setUpFindings(cluster, server)),
    collectFindings(`${check}/timeouts`, () => timeoutFindings(cluster, server)),
    collectFindings(`${check}/passfile`, () => passfileFindings(cluster)),
    collectFindings(`${check}/data_dir`, () => dataDirFindings(cluster)),
    collectFindings(`${check}/tools`, () => toolFindings(cluster, version)),
    collectFindings(`${check}/copies`, () => copyFindings(config, cluster)),
    collectFindings(`${check}/repository`, () => toolRepositoryFindings(config, cluster)),
    encryptionFindings(config, cluster),
    collectFindings(`${check}/hooks`, () => hookFindings(cluster)),
    collectFindings(`${check}/canary`, async () => ('versionNum' in server ? canaryFindings(cluster) : [])),
  ]);
  return [
    ...('versionNum' in server
      ? [
          ...serverFindings(cluster, server),
          ...databaseFindings(cluster, server),
          ...archiveFindings(cluster, server, await archiveCommands(cluster)),
          ...slotFindings(cluster, server),
          ...rightsFindings(cluster, server),
        ]
      : [server]),
    ...parts.flat(),
    ...objectiveFindings(cluster),
    ...policyFindings(config, cluster),
  ];
}

/** Directories of this host in which engines' own tools keep their files, that are not the known ones. */
async function toolRepositoryFindings(config: Config, cluster: ClusterConfig): Promise<readonly Finding[]> {
  const host = config.hosts[cluster.host];
  if (host === undefined) return [];
  const found = await Promise.all(
    Object.values(cluster.policies).map(async (policy) => {
      const place = await engineKinds[policy.engine]?.inspectPlace?.(policy.options).catch(() => null);
      const path = place?.path ?? null;
      if (path === null) return null;
      return identityFinding(
        `cluster/${cluster.name}/repository/${policy.name}`,
        toolRepository(cluster.name, policy.name),
        {
          stateDir: host.stateDir,
          called: `repository of policy ${policy.name} of ${cluster.name}`,
          where: path,
          accept: acceptCommand(policy.repository),
          storage: () => openDescribed('directory', { path }, { secret: resolveSecret, existing: true }),
        },
      );
    }),
  );
  return found.filter((finding) => finding !== null);
}

/** What the engines' own tools have to be told of this cluster, with the very lines. */
async function setUpFindings(
  { name, policies, dataDir, connection }: ClusterConfig,
  server: Server | Finding,
): Promise<readonly Finding[]> {
  if (dataDir === undefined) return [];
  const answers = 'versionNum' in server;
  const socketDir = connection.host.startsWith('/') ? connection.host : null;
  const found = await Promise.all(
    Object.values(policies).map(async (policy): Promise<readonly Finding[]> => {
      const missing = await engineKinds[policy.engine]?.missingSetUp?.(policy.options, {
        dataDir,
        port: answers ? server.port : connection.port,
        answers,
        socketDir,
      });
      if (missing == null || !policy.enabled) return [];
      return [problem(`cluster/${name}/engine/${policy.name}`, missing.message, missing.lines)];
    }),
  );
  return found.flat();
}

/** Tools that bring no settings to their sessions, where the server gives these time-outs. */
async function timeoutFindings(
  { name, policies, connection }: ClusterConfig,
  server: Server | Finding,
): Promise<readonly Finding[]> {
  const some = Object.values(policies).find(
    ({ enabled, engine }) => enabled && engineKinds[engine]?.keepsTimeouts === true,
  );
  if (some === undefined || !('versionNum' in server)) return [];
  const timeouts = await sessionTimeouts(connection);
  const ended = timeoutsInWords(timeouts);
  return ended === null
    ? []
    : [
        warning(
          `cluster/${name}/timeouts`,
          `${some.engine} of policy ${some.name}: ${ended}`,
          timeoutsOff(connection, timeouts),
        ),
      ];
}

async function hookFindings({ name, hooks }: ClusterConfig): Promise<readonly Finding[]> {
  const found = await Promise.all(
    Object.values(hooks).map((hook) =>
      collectFindings(`cluster/${name}/hooks/${hook.name}`, async () => {
        await requireProgram(hook.argv[0] ?? '');
        return [];
      }),
    ),
  );
  return found.flat();
}

function policyFindings({ contacts, temporal }: Config, cluster: ClusterConfig): readonly Finding[] {
  const check = `cluster/${cluster.name}`;
  const findings = Object.values(cluster.policies)
    .filter(({ enabled }) => !enabled)
    .map(({ name }) =>
      warning(
        `${check}/policies/${name}`,
        `policy ${name} of ${cluster.name} is disabled: it takes no backups`,
        'set enabled: true, or remove the policy',
      ),
    );
  if (cluster.hooks['stop-applications'] === undefined) {
    findings.push(
      warning(
        `${check}/hooks`,
        `cluster ${cluster.name} has no hook stop-applications: applications and batch jobs continue to connect while it is recovered`,
        'add e.g. hooks: { stop-applications: { argv: [sudo, systemctl, stop, rdv.service], undo: start-applications }, start-applications: { argv: [sudo, systemctl, start, rdv.service] } }',
      ),
    );
  }
  if (cluster.approvals['recover'] === undefined) {
    findings.push(
      warning(
        `${check}/approvals`,
        `cluster ${cluster.name} has no approval policy for recover: a recovery will be refused`,
        approvalsToAdd(Object.keys(contacts)),
      ),
    );
  }
  // The embedded server, and any that only this machine reaches, has no authorizer that could bind it.
  const address = temporal.address ?? (process.env['TEMPORAL_ADDRESS'] || 'localhost');
  const unbound = isLoopback(address.replace(/:\d+$/, '')) ? [] : unboundActions(cluster.approvals);
  if (unbound.length > 0) {
    findings.push(
      warning(`${check}/approvals/requester`, `${UNBOUND} (${cluster.name}: ${unbound.join(', ')})`, BIND_IT),
    );
  }
  return findings;
}

/** With a contact that there is: config check refuses another name. */
function approvalsToAdd([contact]: readonly string[]): string {
  const approvals = `add e.g. approvals: { recover: { approvers: 1, from: [${contact ?? 'dba'}] } } to the cluster`;
  return contact === undefined ? `${approvals}, and contacts: { dba: { mail: [dba@example.org] } }` : approvals;
}
