import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ConnectionConfig } from '../../domain/config.js';
import { isRepriseError, RepriseError } from '../../domain/errors.js';
import { compareLsn } from '../../domain/target/wal.js';
import { diskFull, noSpace, recoveryFailure, shortage } from './recovery-failure.js';
import { recoveryProgress } from './recovery-progress.js';
import type { ReplayProgress } from './recovery-progress.js';
import { workMoved } from '../../files/work-signs.js';
import { freeBytes } from '../server/disk.js';
import type { Service } from '../server/service.js';

export interface WaitOptions {
  readonly service: Pick<Service, 'status' | 'logTail'> & Partial<Pick<Service, 'dataDir'>>;
  readonly signal?: AbortSignal;
  /** Called at every poll, as a heartbeat. */
  readonly report?: (progress: ReplayProgress) => void;
  /** Default 500; up to that, where a pause is waited for. */
  readonly pollMs?: number;
  /** Without progress for so long, the recovery stops and a person decides; default 30 minutes. */
  readonly stallMs?: number;
}

/** Polls in a row without progress, all while the startup process waits, after which the WAL counts as ended. */
const SETTLED_POLLS = 6;
const DEFAULT_POLL_MS = 500;
const SHORTEST_POLL_MS = 25;
const DEFAULT_STALL_MS = 1_800_000;
/** Until it is consistent a server takes no connections, and nobody can see it advance: it has more time. */
const UNSEEN_FACTOR = 12;

/**
 * Waits until a server that recovers to `latest` has replayed all there is. With an expected end (archive and salvage
 * together) less is an error, because a missing segment looks like the end of the WAL.
 * @throws RepriseError `target-not-reached`, or why the server ended.
 */
export async function waitForEndOfWal(
  connection: ConnectionConfig,
  expectedEndLsn: string | null,
  options: WaitOptions,
): Promise<ReplayProgress> {
  let last: string | null = null;
  let still = 0;
  const advance = watchAdvance(options);
  for (;;) {
    const progress = await pollProgress(connection, options);
    advance(progress);
    if (progress !== null) {
      if (!progress.inRecovery) throw promotedTooSoon(progress);
      const { replayLsn } = progress;
      if (expectedEndLsn !== null && replayLsn !== null && compareLsn(replayLsn, expectedEndLsn) >= 0) return progress;
      still = progress.waitingForWal && replayLsn === last ? still + 1 : 0;
      last = replayLsn;
      if (still >= SETTLED_POLLS) {
        if (expectedEndLsn === null) return progress;
        const full = await fullDisk(options);
        if (full !== null) throw full;
        throw new RepriseError(
          'target-not-reached',
          `replay ended at ${replayLsn ?? 'its start'}, before the expected end ${expectedEndLsn}`,
          'A WAL segment in between is missing or unreadable: see the server log, then plan again with what there is.',
          { replayLsn, expectedEndLsn, logTail: await options.service.logTail() },
        );
      }
    }
    await sleep(options.pollMs ?? DEFAULT_POLL_MS);
  }
}

/**
 * Waits until a recovery with a target pauses there.
 * @throws RepriseError `target-not-reached`, `target-before-backup`, or why the server ended.
 */
export async function waitForPause(connection: ConnectionConfig, options: WaitOptions): Promise<ReplayProgress> {
  const advance = watchAdvance(options);
  const began = performance.now();
  for (;;) {
    const progress = await pollProgress(connection, options);
    if (!progress?.paused) advance(progress);
    if (progress?.inRecovery === false) throw promotedTooSoon(progress);
    if (progress?.paused) return progress;
    await sleep(options.pollMs ?? pollAfter(performance.now() - began));
  }
}

/** A short replay is not waited for longer than it takes: at first often, then less. */
const pollAfter = (elapsedMs: number): number => Math.min(DEFAULT_POLL_MS, Math.max(SHORTEST_POLL_MS, elapsedMs / 10));

/** A replay that runs without progress, as with a restore_command that hangs on a dead mount, needs a person. */
function watchAdvance({ stallMs = DEFAULT_STALL_MS }: WaitOptions): (progress: ReplayProgress | null) => void {
  let at: string | null = null;
  let since = performance.now();
  return (progress) => {
    const now = progress?.replayLsn ?? null;
    if (now !== at) [at, since] = [now, performance.now()];
    if (performance.now() - since <= (at === null ? stallMs * UNSEEN_FACTOR : stallMs)) return;
    throw new RepriseError(
      'target-not-reached',
      `replay has not advanced${at === null ? '' : ` beyond ${at}`} for ${Math.round((performance.now() - since) / 60_000)} minutes`,
      'see whether restore_command hangs (the server log, its processes, the mount of the repository), then continue',
    );
  };
}

/** Null while the server lives and takes no connections yet. */
async function pollProgress(connection: ConnectionConfig, options: WaitOptions): Promise<ReplayProgress | null> {
  options.signal?.throwIfAborted();
  // `watchAdvance` knows better when a replay has stalled.
  workMoved();
  try {
    const progress = await recoveryProgress(connection);
    options.report?.(progress);
    // Not every pause is one at the target.
    const failure = progress.paused ? shortage(await options.service.logTail()) : null;
    if (failure !== null) throw failure;
    return progress;
  } catch (error) {
    if (!isRepriseError(error)) throw error;
    if (error.code !== 'database-unreachable') throw (await fullDisk(options, error)) ?? error;
    if ((await options.service.status()) === 'running') return null;
    const logTail = await options.service.logTail();
    throw (
      (await fullDisk(options)) ??
      recoveryFailure(logTail) ??
      new RepriseError(
        'service-failed',
        'the server ended during recovery',
        'Correct what the end of its log names, then try again.',
        { logTail },
      )
    );
  }
}

/** With less, not even the next segment can be fetched. */
const FULL_BYTES = 16 * 1024 * 1024;

/** Whether the disk is full: what failed says so, or the log, or, where that could not be written either, the file system. */
async function fullDisk({ service }: WaitOptions, error?: RepriseError): Promise<RepriseError | null> {
  const logTail = await service.logTail();
  const said = noSpace(logTail) ?? (error === undefined ? null : noSpace(error.message));
  if (said !== null || service.dataDir === undefined) return said;
  for (const place of [service.dataDir, join(service.dataDir, 'pg_wal')]) {
    const free = await freeBytes(place);
    if (free < FULL_BYTES) return diskFull(`${free} bytes are free in ${place}`, logTail);
  }
  return null;
}

/** With settings that had no effect, a server takes writes before anybody has inspected it. */
function promotedTooSoon(progress: ReplayProgress): RepriseError {
  return new RepriseError(
    'target-not-reached',
    'the server was promoted before its target was confirmed',
    'Do not use it: restore again, and see who promoted it.',
    { ...progress },
  );
}
