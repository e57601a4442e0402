import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { RepriseError } from '../domain/errors.js';
import { processesIn, readPostmaster } from '../postgres/server/postmaster.js';
import { lastArchivedSegment } from './archive.js';
import type { Scratch } from './scratch.js';

/** What a pass destroys: pass 1 leaves `pg_wal` readable, pass 2 nothing. */
export type LossKind = 'data-files' | 'whole-directory';

export interface Loss {
  readonly kind: LossKind;
  /** When the postmaster was killed, UTC ISO-8601. */
  readonly killedAt: string;
  readonly removed: readonly string[];
  /** What the archive held when the last backend was gone: in pass 2, all that is left. */
  readonly lastArchived: string | null;
}

const GONE_WITHIN_MS = 30_000;

/**
 * Loses the instance for real: SIGKILL for the postmaster while commits are under way, a wait until none of its
 * backends is left (they go on for a moment, and write), then the files. Only the demo's own server can be meant: its
 * pid is read from its own directory, and it must be working there.
 */
export async function loseInstance(scratch: Scratch, kind: LossKind): Promise<Loss> {
  const postmaster = await readPostmaster(scratch.dataDir);
  if (postmaster === null || !postmaster.alive) {
    throw new RepriseError(
      'conflict',
      `no server runs on ${scratch.dataDir}`,
      'The demo lost its own server; look at server.log beside that directory.',
    );
  }
  const killedAt = new Date().toISOString();
  process.kill(postmaster.pid, 'SIGKILL');
  await untilGone(scratch.dataDir);
  const lastArchived = await lastArchivedSegment(scratch);
  const removed =
    kind === 'whole-directory' ? [scratch.dataDir] : ['base', 'global'].map((name) => join(scratch.dataDir, name));
  for (const path of removed) await rm(path, { recursive: true });
  return { kind, killedAt, removed, lastArchived };
}

async function untilGone(dataDir: string): Promise<void> {
  const deadline = performance.now() + GONE_WITHIN_MS;
  for (;;) {
    const left = await processesIn(dataDir);
    if (left.length === 0) return;
    if (performance.now() > deadline) {
      throw new RepriseError(
        'timeout',
        `backends of the killed server still run after ${GONE_WITHIN_MS / 1000} s: ${left.join(', ')}`,
        'End them by their process ids, then start the demo again.',
      );
    }
    await sleep(50);
  }
}
