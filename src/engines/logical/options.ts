import { z } from 'zod';
import type { EngineCapabilities } from '../engine.js';

/** `options` of a policy with the engine `logical`: its files go to the policy's repository, nothing else is needed. */
export const logicalOptions = z.strictObject({
  compress: z
    .int({ error: 'expected a compression level from 0 to 9' })
    .min(0)
    .max(9)
    .optional()
    .describe('Compression level of pg_dump -Z; absent: the default of pg_dump.'),
  restore_jobs: z
    .int({ error: 'expected a number of jobs from 1 to 64' })
    .min(1)
    .max(64)
    .default(1)
    .describe('Parallel jobs of pg_restore -j.'),
  content_hashes: z
    .boolean()
    .optional()
    .describe(
      'true: the rows of each table are hashed in the snapshot of the dump, for drills to compare with. It reads every table once more; absent: rows are only counted.',
    ),
});

/** What the engine reads from `policy.options`. */
export interface LogicalOptions extends Readonly<Record<string, unknown>> {
  readonly compress?: number;
  readonly restoreJobs: number;
  readonly contentHashes?: true;
}

export function readLogicalOptions(options: z.output<typeof logicalOptions>): LogicalOptions {
  const { compress, restore_jobs: restoreJobs, content_hashes: contentHashes } = options;
  return { compress, restoreJobs, ...(contentHashes === true ? { contentHashes } : {}) };
}

/** Kinds of target a dump can reach: the instant at which it was made, and no other. */
export const LOGICAL_TARGETS = ['latest', 'end-of-backup', 'backup'] as const;

/** Known without loading the engine: the configuration is checked with it. */
export const logicalCapabilities: EngineCapabilities = {
  method: 'databases',
  targets: LOGICAL_TARGETS,
  types: ['full'],
  archivesWal: false,
  encrypts: true,
};
