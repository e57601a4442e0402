import { z } from 'zod';
import type { EngineCapabilities, ReadContext } from '../engine.js';
import { durationPattern, durationRule, parseDuration } from '../../domain/text/units.js';

const duration = () => z.string({ error: durationRule }).regex(durationPattern, durationRule);

/** `options` of a policy with the engine `basebackup`: backups and WAL go to the policy's repository. */
export const basebackupOptions = z.strictObject({
  wal: z
    .enum(['receivewal', 'archive_command'])
    .default('archive_command')
    .describe(
      'How WAL gets into the repository; archive_command: the server archives each completed segment; receivewal: a worker receives WAL as it is written, through a replication slot.',
    ),
  slot: z
    .string()
    .regex(/^[a-z0-9_]{1,63}$/, 'expected a slot name of a-z, 0-9 and "_"')
    .optional()
    .describe('Replication slot of receivewal; absent: reprise_CLUSTER_POLICY.'),
  compress: z
    .int({ error: 'expected a compression level from 1 to 9' })
    .min(1)
    .max(9)
    .default(1)
    .describe('Compression level of gzip: 1 is fast, 9 is small.'),
  max_rate: z
    .string()
    .regex(/^[1-9]\d{1,6}[kM]$/, 'expected a rate from 32k to 1024M, bytes a second')
    .optional()
    .describe('Maximum rate of reading from the server, in bytes per second, such as 50M; absent: no limit.'),
  full_every: duration()
    .optional()
    .describe(
      'Age of the last full backup at which auto takes another one, and an incremental one before that (PostgreSQL 17 and later, with summarize_wal); absent: always full.',
    ),
  page_errors: z
    .enum(['refuse', 'accept'])
    .default('refuse')
    .describe(
      'What a page with a wrong checksum means; refuse: the backup fails and names it; accept: pages are not checked, and the backup is marked.',
    ),
  archive_timeout: duration()
    .default('60s')
    .describe('How long a backup waits for its last WAL segment to be in the repository before it counts as failed.'),
});

/** What the engine reads from `policy.options`. */
export interface BasebackupOptions extends Readonly<Record<string, unknown>> {
  readonly wal: 'receivewal' | 'archive_command';
  readonly slot?: string;
  readonly compress: number;
  readonly maxRate?: string;
  readonly fullEverySeconds?: number;
  readonly pageErrors?: 'refuse' | 'accept';
  readonly archiveTimeoutSeconds: number;
}

export function readBasebackupOptions({
  wal,
  slot,
  compress,
  max_rate,
  full_every,
  page_errors,
  archive_timeout,
}: z.output<typeof basebackupOptions>): BasebackupOptions {
  return {
    wal,
    slot,
    compress,
    maxRate: max_rate,
    fullEverySeconds: full_every === undefined ? undefined : parseDuration(full_every),
    pageErrors: page_errors,
    archiveTimeoutSeconds: parseDuration(archive_timeout),
  };
}

/** Whether these options have WAL fetched by a worker, so that nobody's archive_command is wanted. */
export function receivesWal(options: Readonly<Record<string, unknown>>): boolean {
  return options['wal'] === 'receivewal';
}

export function optionsOf(context: Pick<ReadContext, 'policy'>): BasebackupOptions {
  return context.policy.options as BasebackupOptions;
}

/** Known without loading the engine: the configuration is checked with it. */
export const basebackupCapabilities: EngineCapabilities = {
  method: 'data-directory',
  targets: ['latest', 'time', 'lsn', 'xid', 'before-xid', 'name', 'end-of-backup', 'backup'],
  types: ['full', 'incr'],
  archivesWal: true,
  encrypts: false,
};
