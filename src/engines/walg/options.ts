import { z } from 'zod';
import type { EngineCapabilities } from '../engine.js';
import { path } from '../../domain/fields.js';
import { durationPattern, durationRule, parseDuration } from '../../domain/text/units.js';

/** `options` of a policy with the engine `walg`: where its files go is in WAL-G's own environment file. */
export const walgOptions = z.strictObject({
  env_file: path().describe(
    'File with the settings of WAL-G, one KEY=value on each line: WALG_S3_PREFIX, AWS_ACCESS_KEY_ID, ... Mode 0600 if it contains a secret.',
  ),
  binary: z
    .string()
    .regex(/^[^\s\0]+$/, 'expected a path or the name of a program')
    .default('wal-g')
    .describe('The program: a name looked up in PATH, or an absolute path.'),
  page_errors: z
    .enum(['refuse', 'accept'])
    .default('refuse')
    .describe(
      'What pages with wrong checksums mean; refuse: the backup does not count, and they are named; accept: it counts, and is marked with them.',
    ),
  archive_timeout: z
    .string({ error: durationRule })
    .regex(durationPattern, durationRule)
    .default('60s')
    .describe('How long a backup waits for its last WAL segment to be archived before it counts as failed.'),
});

/** What the engine reads from `policy.options`; `envFile` is absolute. */
export interface WalgOptions extends Readonly<Record<string, unknown>> {
  readonly envFile: string;
  readonly binary: string;
  readonly pageErrors?: 'refuse' | 'accept';
  readonly archiveTimeoutSeconds: number;
}

export function readWalgOptions(options: z.output<typeof walgOptions>): WalgOptions {
  const { env_file, binary, page_errors, archive_timeout } = options;
  return { envFile: env_file, binary, pageErrors: page_errors, archiveTimeoutSeconds: parseDuration(archive_timeout) };
}

/** Known without loading the engine: the configuration is checked with it. */
export const walgCapabilities: EngineCapabilities = {
  method: 'data-directory',
  targets: ['latest', 'time', 'lsn', 'xid', 'before-xid', 'name', 'end-of-backup', 'backup'],
  types: ['full', 'incr'],
  archivesWal: true,
  encrypts: false,
  removesTogether: true,
};
