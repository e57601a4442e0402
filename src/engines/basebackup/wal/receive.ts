import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { RepriseError, errorTable, isRepriseError } from '../../../domain/errors.js';
import type { Progress } from '../../../domain/operation/progress.js';
import { isHistoryName, isSegmentName } from '../../../domain/target/wal.js';
import { libpqEnv } from '../../../postgres/connection/environment.js';
import { makeHostScratch } from '../../../postgres/server/scratch-directory.js';
import type { EngineContext, ReadContext } from '../../engine.js';
import { walKey, walPrefix } from '../repository/names.js';
import { pushBeginning, pushWal } from './wal-archive.js';
import { ensureSlot, slotName } from './slot.js';
import { removeTree } from '../../../files/remove-tree.js';
import { makeOwnDirectory } from '../../../files/trusted-paths.js';

const POLL_MS = 1_000;
/** The beginning of the segment that is being written goes to the repository this often, where it grew. */
const BEGINNING_MS = 5_000;
/** How often the slot is looked at: a recovered server has none. */
const SLOT_MS = 10_000;
const UNLIMITED = 1_000_000;
const ALL_STORED = new Error('the WAL that waited is now stored');

/** Where pg_receivewal writes on the host. */
export const receiveDirectory = ({ host, cluster, policy }: Pick<ReadContext, 'host' | 'cluster' | 'policy'>): string =>
  join(host.scratchDir, 'receivewal', `${cluster.name}-${policy.name}`);

/**
 * Keeps a pg_receivewal running, which outlives the worker as every job does, and takes what it has fetched into the
 * repository: full segments once and for good, the beginning of the one being written every few seconds, so that a lost
 * host costs seconds and not a segment. Ends only by the context's signal, or where the program cannot be kept running,
 * or what it fetches cannot be stored: then it goes on by itself, so that the server need not keep the WAL.
 * @param waits that is known, and nobody is told again: returns as soon as all is stored
 * @throws RepriseError of the program; `wal-not-archived` where WAL waits on the host; `signal.reason`
 */
export async function receiveWal(
  context: EngineContext,
  { waits = false }: { readonly waits?: boolean } = {},
): Promise<void> {
  const directory = receiveDirectory(context);
  await makeHostScratch(context.host, context.user);
  await makeOwnDirectory(directory, context.user);
  await context.storage.prepare(walPrefix(context), context.user ?? undefined);
  // First: with the server lost the slot cannot be asked for, and that is when these files count.
  await pushReceived(context, directory).catch((error: unknown) => {
    context.signal.throwIfAborted();
    context.report({ phase: `WAL waits: ${(error as Error).message}`.slice(0, 300), done: 0, unit: 'segments' });
  });
  await slotReady(context, directory);
  const [ended, left] = [new AbortController(), new AbortController()];
  let progress: Progress | undefined;
  const waiting = new WaitingWal(context);
  const pushing = pushAll(
    { ...context, signal: AbortSignal.any([context.signal, ended.signal]), report: (now) => (progress = now) },
    directory,
    {
      stored: () => {
        waiting.stored();
        if (waits) left.abort(ALL_STORED);
      },
      failed: (error) => {
        const trouble = waiting.failed(error);
        if (trouble !== null && !waits) left.abort(trouble);
      },
    },
  );
  try {
    await context.jobs.run({
      step: 'receivewal',
      tool: 'pg_receivewal',
      argv: [
        join(context.pgBin, 'pg_receivewal'),
        `--directory=${directory}`,
        `--slot=${slotName(context)}`,
        '--synchronous',
        '--no-password',
      ],
      env: libpqEnv(context.cluster.connection, context.cluster.connection.maintenanceDatabase),
      user: context.user ?? 'inherit',
      onGone: 'resume',
      // It connects again by itself for as long as it lives, and one that was killed is started again, however often.
      maxStarts: UNLIMITED,
      // With another address, role or slot in the config the one that runs would go on with what it began with.
      restartsOnChange: true,
      classifyExit: () => Promise.resolve('retry'),
      progress: () => Promise.resolve(progress),
      detachSignal: left.signal,
    });
  } catch (error) {
    if (error !== ALL_STORED) throw error;
  } finally {
    ended.abort();
    await pushing;
  }
}

/** What was fetched for a slot that is gone does not lead on: pg_receivewal would ask for what the server does not have. */
async function slotReady(context: EngineContext, directory: string): Promise<void> {
  if (await ensureSlot(context)) await clearReceived(context, directory);
}

/** Takes what was received into the repository, and forgets where it ended: a new slot says where to go on. */
async function clearReceived(context: EngineContext, directory: string): Promise<void> {
  const names = await pushReceived(context, directory);
  for (const name of names) await removeTree(join(directory, name));
}

/** Everything that was received, with the beginning of its last segment, into the repository; returns the files' names. */
async function pushReceived(context: EngineContext, directory: string): Promise<readonly string[]> {
  const names = (await readdir(directory)).sort();
  await pushFull(context, directory, names);
  const beginning = names.filter((name) => name.endsWith('.partial')).at(-1);
  if (beginning !== undefined) await pushBeginning(context, beginning.slice(0, 24), join(directory, beginning));
  return names;
}

/** Who hears how the storing of what was received goes. */
interface Hears {
  stored(): void;
  failed(error: unknown): void;
}

/** Until the signal: a server or a repository that is away for a while is waited for, and said. */
async function pushAll(context: EngineContext, directory: string, hears: Hears): Promise<void> {
  const waits = (error: unknown): void =>
    context.report({ phase: `WAL waits: ${(error as Error).message}`.slice(0, 300), done: 0, unit: 'segments' });
  const stored = new Set<string>();
  let beginning = { name: '', modified: 0, at: 0 };
  let slotAt = performance.now();
  while (!context.signal.aborted) {
    try {
      // Listed once for both: the beginning of a segment is never there before the one it follows.
      const names = (await readdir(directory)).sort();
      const last = await pushFull(context, directory, names, stored);
      beginning = await pushGrown(context, directory, names, beginning);
      context.report({ phase: `WAL is received${last === null ? '' : `, last ${last}`}`, done: 0, unit: 'segments' });
      hears.stored();
    } catch (error) {
      if (context.signal.aborted) return;
      waits(error);
      hears.failed(error);
    }
    if (performance.now() - slotAt > SLOT_MS) {
      slotAt = performance.now();
      await slotReady(context, directory).catch(waits);
    }
    await sleep(POLL_MS, undefined, { signal: context.signal }).catch(() => undefined);
  }
}

/**
 * Full segments and histories into the repository; the last one stays here, for from it pg_receivewal goes on.
 * @param stored those that this attempt has stored and that need no other look
 */
async function pushFull(
  context: EngineContext,
  directory: string,
  names: readonly string[],
  stored = new Set<string>(),
): Promise<string | null> {
  for (const name of names.filter((one) => isHistoryName(one) && !stored.has(one))) {
    await pushWal(context, name, join(directory, name));
    stored.add(name);
  }
  const full = names.filter(isSegmentName);
  for (const name of full) {
    context.signal.throwIfAborted();
    if (!stored.has(name)) {
      await pushWal(context, name, join(directory, name));
      await context.storage.remove(walKey(context, `${name}.partial`));
      stored.add(name);
    }
    if (name !== full.at(-1)) await removeTree(join(directory, name));
  }
  return full.at(-1) ?? null;
}

interface Beginning {
  readonly name: string;
  readonly modified: number;
  readonly at: number;
}

async function pushGrown(
  context: EngineContext,
  directory: string,
  names: readonly string[],
  before: Beginning,
): Promise<Beginning> {
  const now = performance.now();
  if (before.at !== 0 && now - before.at < BEGINNING_MS) return before;
  const name = names.filter((entry) => entry.endsWith('.partial')).at(-1);
  if (name === undefined) return before;
  const found = await stat(join(directory, name)).catch(() => null);
  if (found === null || (name === before.name && found.mtimeMs === before.modified)) return before;
  await pushBeginning(context, name.slice(0, 24), join(directory, name));
  return { name, modified: found.mtimeMs, at: now };
}

/** What to do where WAL is not received. */
export function receivingHint(context: Pick<EngineContext, 'cluster' | 'policy'>): string {
  const { cluster, policy } = context;
  return `the workflow archive/${cluster.name}/${policy.name} receives it: start it with reprise schedule apply, and see that a worker of host ${cluster.host} runs`;
}

/** After a recovery: the cluster has another past from here on, and no slot. */
export async function receiveAnew(context: EngineContext): Promise<void> {
  const directory = receiveDirectory(context);
  await makeOwnDirectory(directory, context.user);
  await slotReady(context, directory);
}

/** @throws RepriseError `wal-not-archived` where nobody receives */
export function notReceived(context: Pick<EngineContext, 'cluster' | 'policy'>, why: string): RepriseError {
  return new RepriseError(
    'wal-not-archived',
    `WAL of ${context.cluster.name} is not received: ${why}`,
    receivingHint(context),
  );
}

/** A repository that is away for so long is no short outage: somebody has to know. */
const OUTAGE_MS = 5 * 60_000;

/** Whether received WAL gets into the repository, and since when it does not. */
export class WaitingWal {
  private since: number | null = null;

  constructor(
    private readonly context: Pick<EngineContext, 'cluster' | 'host'>,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** All that was received is stored. */
  stored(): void {
    this.since = null;
  }

  /** What people have to be told of a failed attempt; null where the next one may mend it. */
  failed(error: unknown): RepriseError | null {
    this.since ??= this.now();
    const waitedMs = this.now() - this.since;
    const isFinal = isRepriseError(error) && !errorTable[error.code].retryable;
    if (!isFinal && waitedMs < OUTAGE_MS) return null;
    const { cluster, host } = this.context;
    const reason = error instanceof Error ? error.message : String(error);
    return new RepriseError(
      'wal-not-archived',
      `WAL of ${cluster.name} is received on host ${host.name} and cannot be stored in the repository: ${reason}`,
      (isRepriseError(error) ? error.hint : undefined) ??
        `see that host ${host.name} reaches the repository: reprise doctor; until then it is kept below ${host.scratchDir}`,
    );
  }
}
