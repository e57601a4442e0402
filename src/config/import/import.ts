import { Document, isMap, isScalar, visit } from 'yaml';
import type { YAMLMap } from 'yaml';
import { parseConfig } from '../load.js';
import { readPgbackrestFile } from './pgbackrest-file.js';
import type { PgbackrestFile } from './pgbackrest-file.js';
import { seedFile, seedSettings } from './seed-files.js';
import type { SeedSettings, Taken } from './seed-files.js';

/** A file's text with the name messages give it. */
export interface GivenFile {
  readonly text: string;
  readonly label: string;
}

export interface ImportRequest {
  readonly global: GivenFile;
  readonly postgres: GivenFile;
  /** An existing pgbackrest.conf, with its absolute path. */
  readonly pgbackrest?: GivenFile & { readonly path: string };
  /** Where the result is to be: relative paths count from its folder. */
  readonly target: string;
}

export interface Imported {
  /** The whole reprise.yml; it passes `config check`. */
  readonly yaml: string;
  readonly read: readonly Taken[];
  readonly notRead: readonly Taken[];
  /** What was set although the old files say nothing of it. */
  readonly added: readonly string[];
  readonly warnings: readonly string[];
  /** What to do by hand now, in order. */
  readonly next: readonly string[];
}

const PASSFILE = '/etc/reprise/pgpass';
const POLICY = 'nightly-dump';
const CRON = '30 1 * * *';

/**
 * Makes a reprise.yml of the configuration of `backup_runner.py`.
 * @throws RepriseError `config-invalid` with file:line:column of the old file
 */
export function importConfig({ global, postgres, pgbackrest, target }: ImportRequest): Imported {
  const seed = seedSettings({
    global: seedFile(global.text, global.label),
    postgres: seedFile(postgres.text, postgres.label),
  });
  const physical =
    pgbackrest === undefined
      ? null
      : { path: pgbackrest.path, label: pgbackrest.label, ...readPgbackrestFile(pgbackrest.text, pgbackrest.label) };
  const cluster = clusterName(seed.database);
  const yaml = compose(seed, physical, cluster, `${global.label} and ${postgres.label}`);
  // What cannot be loaded is not printed.
  parseConfig(yaml, target);
  return {
    yaml,
    read: [...seed.read, ...physicalRead(physical)],
    notRead: seed.notRead,
    added: [
      `backups.${POLICY}.schedule: every night at 01:30 UTC, because the old files contain no time`,
      ...(seed.dir.startsWith('/')
        ? []
        : [
            `repositories.local.path stays relative: to the folder of reprise.yml; the old script used the directory in which it was started`,
          ]),
      ...(physical?.dataDir == null
        ? []
        : ['clusters.*.data_dir: with it Reprise also watches the cluster, and opens an incident when it is lost']),
    ],
    warnings: [
      ...(seed.enabled ? [] : [`backups are disabled (enabled: false), as they were: nothing is backed up`]),
      ...(physical?.warnings ?? []),
    ],
    next: nextSteps(seed, cluster),
  };
}

/** A name of a cluster is part of paths and queues; one made of a database's is used where it can be. */
function clusterName(database: string): string {
  return /^[\p{L}\p{N}][\p{L}\p{N}\p{M}_.-]{0,62}$/u.test(database) &&
    !database.includes('..') &&
    database === database.normalize('NFC')
    ? database
    : 'main';
}

function compose(
  seed: SeedSettings,
  physical: (PgbackrestFile & { path: string }) | null,
  cluster: string,
  origin: string,
): string {
  const retention = { days: seed.retentionDays ?? 14, min_proven: 2 };
  const document = new Document({
    version: 1,
    repositories: { local: { type: 'directory', path: seed.dir } },
    clusters: {
      [cluster]: {
        connection: {
          host: seed.host ?? '127.0.0.1',
          port: seed.port ?? 5432,
          user: seed.user,
          ...(seed.hasPassword ? { passfile: PASSFILE } : {}),
        },
        ...(physical?.dataDir == null ? {} : { data_dir: physical.dataDir }),
        databases: [seed.database],
        backups: {
          [POLICY]: {
            engine: 'logical',
            repository: 'local',
            enabled: seed.enabled,
            schedule: { cron: CRON },
            retention,
            proof: 'verify',
          },
          ...(physical?.stanza == null || physical.dataDir === null
            ? {}
            : {
                physical: {
                  engine: 'pgbackrest',
                  repository: 'local',
                  enabled: seed.enabled,
                  options: { stanza: physical.stanza, config: physical.path },
                  schedule: { cron: '15 2 * * *' },
                  retention: { days: physical.retentionDays ?? 30, min_proven: 2 },
                  proof: 'verify',
                },
              }),
        },
      },
    },
  });
  visit(document, {
    Pair: (_, pair) =>
      void (
        isScalar(pair.key) &&
        pair.key.value === 'cron' &&
        isScalar(pair.value) &&
        (pair.value.type = 'QUOTE_DOUBLE')
      ),
  });
  document.commentBefore = ` Made by reprise config import from ${origin}.`;
  for (const path of [
    ['clusters', cluster, 'connection'],
    ['clusters', cluster, 'backups', POLICY, 'schedule'],
    ['clusters', cluster, 'backups', POLICY, 'retention'],
  ])
    flow(document, path);
  const backups = document.getIn(['clusters', cluster, 'backups'], true) as YAMLMap;
  backups.comment = [
    ' Who decides on a recovery; without it every recovery is refused:',
    '   approvals: { recover: { approvers: 1, from: [dba] } }',
    ' and at the top level: contacts: { dba: { mail: [dba@example.org] } }',
  ].join('\n');
  return document.toString({ lineWidth: 0 });
}

function flow(document: Document, path: readonly string[]): void {
  const node = document.getIn(path, true);
  if (isMap(node)) node.flow = true;
}

function physicalRead(physical: (PgbackrestFile & { label: string }) | null): readonly Taken[] {
  if (physical?.stanza == null || physical.dataDir === null) return [];
  return [
    { from: `${physical.label}: [${physical.stanza}]`, to: 'backups.physical.options.stanza' },
    { from: `${physical.label}: pg1-path`, to: 'data_dir' },
    ...(physical.retentionDays === null
      ? []
      : [
          {
            from: `${physical.label}: repo1-retention-full`,
            to: `backups.physical.retention.days: ${physical.retentionDays}`,
          },
        ]),
  ];
}

function nextSteps({ host, port, user, hasPassword, dir }: SeedSettings, cluster: string): readonly string[] {
  const escaped = (text: string): string => text.replaceAll(/[:\\]/g, '\\$&');
  const line = `${escaped(host ?? '127.0.0.1')}:${port ?? 5432}:*:${escaped(user)}:PASSWORD`;
  return [
    ...(hasPassword
      ? [
          `install -D -m 600 /dev/null ${PASSFILE}, open it in an editor and write one line: ${line}   (a : or \\ in the password is written \\: or \\\\; the file belongs to the user of the worker)`,
        ]
      : []),
    'reprise config check; reprise up; reprise doctor',
    `reprise backup adopt ${cluster} --from ${dir} --dry-run, to adopt the existing dumps`,
    'reprise schedule apply; then remove the cron line of backup_runner.py',
  ];
}
