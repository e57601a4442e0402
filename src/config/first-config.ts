import type { FoundCluster } from '../domain/found-cluster.js';
import { lstat, writeFile } from 'node:fs/promises';
import { RepriseError } from '../domain/errors.js';
import { errnoOf } from '../files/paths.js';
import { parseConfig } from './load.js';

export interface FirstConfig {
  readonly host: string;
  readonly stateDir: string;
  readonly repository: string;
  readonly clusters: readonly FoundCluster[];
}

/** A first reprise.yml for the clusters of a machine, with comments where a person has to decide. It is one that `config check` accepts. */
export function firstConfig(first: FirstConfig, file: string): string {
  const host = nameOf(first.host);
  const text = [
    `# Made by \`reprise init\`. Next: reprise config check, then reprise doctor. All keys: docs/reference/config.md.`,
    'version: 1',
    'hosts:',
    `  ${host}: { state_dir: ${scalar(first.stateDir)} }`,
    'repositories:',
    '  # On the disk of the data this is no backup: name a directory on another disk or machine, or a bucket (docs/storage.md).',
    `  local: { type: directory, path: ${scalar(first.repository)}, host: ${host} }`,
    'clusters:',
    ...uniquelyNamed(first.clusters).flatMap((cluster) => clusterLines(cluster, host)),
    'contacts:',
    '  # Who may approve a recovery; a message needs a notifier (docs/notifications.md).',
    '  dba: { mail: [dba@example.org] }',
    '',
  ].join('\n');
  parseConfig(text, file);
  return text;
}

/** @throws RepriseError `conflict` where something has the name */
export async function assertAbsent(file: string): Promise<void> {
  if ((await lstat(file).catch(() => null)) !== null) throw taken(file);
}

/** Writes it where nothing is; it holds no secret. @throws RepriseError `conflict`, `config-invalid` */
export async function writeFirstConfig(file: string, text: string): Promise<void> {
  try {
    await writeFile(file, text, { mode: 0o644, flag: 'wx' });
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') throw taken(file);
    throw new RepriseError(
      'config-invalid',
      `${file} cannot be written: ${errnoOf(error) ?? String(error)}`,
      'name a place that this user may write to: --config FILE; its directory has to be there',
    );
  }
}

const taken = (file: string): RepriseError =>
  new RepriseError(
    'conflict',
    `${file} exists already and is not overwritten`,
    'go on with it (reprise config check), or name another file: --config FILE',
  );

function clusterLines(cluster: FoundCluster, host: string): readonly string[] {
  const { name, port, socketDir, dataDir, debian, databases, stanza } = cluster;
  const known = databases !== null && databases.length > 0 ? databases : ['postgres'];
  const service =
    debian === null
      ? '{ kind: pg_ctl }'
      : `{ kind: pg_ctlcluster, version: ${/^\d+$/.test(debian.version) ? debian.version : scalar(debian.version)}, name: ${scalar(debian.name)} }`;
  return [
    `  ${nameOf(name)}:`,
    `    host: ${host}`,
    `    connection: { host: ${scalar(socketDir)}, port: ${port}, user: postgres }`,
    `    data_dir: ${scalar(dataDir)}`,
    `    service: ${service}`,
    ...(known === databases ? [] : ['    # No databases were seen: name those of your applications.']),
    `    databases: [${known.map(scalar).join(', ')}]`,
    '    watch: { every: 10s, failures: 3 }',
    '    backups:',
    '      dump:',
    '        engine: logical',
    '        repository: local',
    '        schedule: { cron: "30 1 * * *" }',
    '        retention: { days: 14, min_proven: 2 }',
    '        proof: restore',
    ...(stanza === null ? withoutStanza(name) : stanzaLines(stanza)),
    '    approvals:',
    '      recover: { approvers: 1, from: [dba] }',
  ];
}

/** Its files go where pgbackrest.conf says. */
const stanzaLines = ({ name, config }: NonNullable<FoundCluster['stanza']>): readonly string[] => [
  '      physical:',
  '        engine: pgbackrest',
  '        repository: local',
  `        options: { stanza: ${scalar(name)}, config: ${scalar(config)} }`,
  '        schedule: { cron: "15 2 * * *" }',
  '        retention: { days: 30, min_proven: 2 }',
  '        proof: restore',
];

const withoutStanza = (name: string): readonly string[] => [
  `      # Recovery to a point in time needs WAL: docs/pgbackrest.md has the lines for pgbackrest.conf, then`,
  `      # physical: { engine: pgbackrest, options: { stanza: ${nameOf(name)} }, schedule: { cron: "15 2 * * *" }, retention: { days: 30 }, proof: restore }`,
];

/** A stanza may have the name of another cluster. */
function uniquelyNamed(clusters: readonly FoundCluster[]): readonly FoundCluster[] {
  const taken = new Set<string>();
  return clusters.map((cluster) => {
    let name = nameOf(cluster.name);
    for (let count = 2; taken.has(name); count++) name = `${nameOf(cluster.name).slice(0, 58)}-${count}`;
    taken.add(name);
    return { ...cluster, name };
  });
}

/** As the schema takes names: whatever else is in it becomes a dash. */
function nameOf(text: string): string {
  const plain = text
    .normalize('NFC')
    .replaceAll(/[^\p{L}\p{N}\p{M}_.-]+/gu, '-')
    .replaceAll(/\.{2,}/g, '.')
    .replace(/^[^\p{L}\p{N}]+/u, '')
    .slice(0, 63);
  return plain === '' || /^\d+$/.test(plain) ? `c${plain}` : plain;
}

/** A text in YAML's flow style. JSON's strings are YAML's. */
function scalar(text: string): string {
  return /^[A-Za-z_/][\w./-]*$/.test(text) && !/^(?:true|false|null|yes|no|on|off|y|n)$/i.test(text)
    ? text
    : JSON.stringify(text);
}
