import { z } from 'zod';
import type { EngineCapabilities } from '../engine.js';
import { path } from '../../domain/fields.js';
import { durationPattern, durationRule, parseDuration } from '../../domain/text/units.js';

const duration = () => z.string({ error: durationRule }).regex(durationPattern, durationRule);

/** `options` of a policy with the engine `pgbackrest`: where its files go is in pgbackrest.conf. */
export const pgbackrestOptions = z.strictObject({
  // pgBackRest makes directories of this name in its repository.
  stanza: z
    .string()
    .regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$/, 'expected a stanza name of letters, digits, "_", "." and "-"')
    .describe('Stanza of this cluster.'),
  config: path()
    .describe(
      "Path of pgbackrest.conf; absent: pgBackRest's own place. Named alone, it turns the include directory off, as with pgBackRest.",
    )
    .optional(),
  config_path: path()
    .describe('Directory of pgbackrest.conf and conf.d/, as --config-path of pgBackRest; absent: /etc/pgbackrest.')
    .optional(),
  config_include_path: path()
    .describe('Directory of further *.conf files, as --config-include-path of pgBackRest.')
    .optional(),
  type: z
    .enum(['auto', 'full', 'diff', 'incr'])
    .default('auto')
    .describe('Type of a scheduled backup; auto: full when there is none or the last is too old, else diff or incr.'),
  full_every: duration().default('7d').describe('Age of the last full backup at which auto takes another one.'),
  diff_every: duration().optional().describe('Age of the last diff or full at which auto takes a diff; absent: incr.'),
  page_errors: z
    .enum(['refuse', 'accept'])
    .default('refuse')
    .describe(
      'What pages with wrong checksums mean; refuse: the backup fails and names them; accept: it counts, and is marked with them.',
    ),
  archive_timeout: duration()
    .default('60s')
    .describe('How long a backup waits for its last WAL segment to be archived before it counts as failed.'),
});

/** What the engine reads from `policy.options`; paths are absolute, absent ones are for pgBackRest to choose. */
export interface PgbackrestOptions extends Readonly<Record<string, unknown>> {
  readonly stanza: string;
  readonly config?: string;
  readonly configPath?: string;
  readonly configIncludePath?: string;
  readonly type: 'auto' | 'full' | 'diff' | 'incr';
  readonly fullEverySeconds: number;
  readonly diffEverySeconds?: number;
  readonly pageErrors?: 'refuse' | 'accept';
  readonly archiveTimeoutSeconds: number;
}

export function readPgbackrestOptions(options: z.output<typeof pgbackrestOptions>): PgbackrestOptions {
  const {
    stanza,
    config,
    config_path,
    config_include_path,
    type,
    full_every,
    diff_every,
    page_errors,
    archive_timeout,
  } = options;
  return {
    stanza,
    ...(config === undefined ? {} : { config }),
    ...(config_path === undefined ? {} : { configPath: config_path }),
    ...(config_include_path === undefined ? {} : { configIncludePath: config_include_path }),
    type,
    fullEverySeconds: parseDuration(full_every),
    diffEverySeconds: diff_every === undefined ? undefined : parseDuration(diff_every),
    pageErrors: page_errors,
    archiveTimeoutSeconds: parseDuration(archive_timeout),
  };
}

/** Annotations, which tell whose backup one is, came with 2.41; everything here was tried with 2.45. */
export const OLDEST_PGBACKREST = [2, 45] as const;

/** Known without loading the engine: the configuration is checked with it. */
export const pgbackrestCapabilities: EngineCapabilities = {
  method: 'data-directory',
  targets: ['latest', 'time', 'lsn', 'xid', 'before-xid', 'name', 'end-of-backup', 'backup'],
  types: ['full', 'diff', 'incr'],
  archivesWal: true,
  overwrites: true,
  encrypts: false,
};
