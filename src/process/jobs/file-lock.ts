/**
 * Locks between processes of one host, by flock(2). Node has no flock: the `flock` program locks a file that we have
 * opened and hand to it. The lock belongs to the open file, so it is ours when that program has ended, goes on in every
 * child that inherits the file, and ends when the last of them has died.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdir, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { spawn } from 'node:child_process';
import { RepriseError, isRepriseError } from '../../domain/errors.js';
import { giveTo, makePrivateDirectory } from '../../files/directories.js';
import { hostLockPath } from './job-paths.js';
import type { FileLockHolder } from './job-record.js';
import { readHolder } from './job-record.js';
import type { JobLock } from './jobs.js';
import { identify, isAlive } from '../exec/process-identity.js';
import { openForAppending } from '../../files/atomic-file.js';

const BUSY = 75;
const LOCK_POLL_MS = 200;
const NAMELESS_POLL_MS = 20;
const NAMELESS_MS = 10_000;

/** A lock we hold, until `release` or our death. */
export interface HeldLock {
  readonly path: string;
  /** Given to a child, it makes the child a holder too. */
  readonly fd: number;
  release(): Promise<void>;
}

/** Takes a lock, or returns null where another holds it. `holder` says in words who we are. */
export async function tryLock(
  path: string,
  mode: JobLock['mode'],
  holder: { key: string; tool: string },
): Promise<HeldLock | null> {
  await makePrivateDirectory(dirname(path));
  // Of the directory's owner also where root takes the lock: that user goes on with it.
  const owner = await stat(dirname(path));
  const file = await openForAppending(path, owner);
  try {
    if (!(await lockOpenFile(file.fd, mode))) {
      await file.close();
      return null;
    }
    const named = `${path}@${process.pid}.${randomBytes(4).toString('hex')}`;
    const identity = await identify(process.pid);
    await writeFile(named, `${JSON.stringify({ ...holder, ...identity, startedAt: new Date().toISOString() })}\n`, {
      mode: 0o600,
    });
    await giveTo(named, owner);
    return {
      path,
      fd: file.fd,
      release: async () => {
        await rm(named, { force: true });
        await file.close();
      },
    };
  } catch (error) {
    await file.close().catch(() => undefined);
    throw error;
  }
}

/** Living holders of a lock; the names left by dead ones are removed. */
export async function lockHolders(path: string): Promise<readonly FileLockHolder[]> {
  const names = await readdir(dirname(path)).catch(() => [] as string[]);
  const holders: FileLockHolder[] = [];
  for (const name of names.filter((one) => one.startsWith(`${basename(path)}@`))) {
    const file = join(dirname(path), name);
    const holder = await readHolder(file);
    if (holder !== null && (await isAlive(holder))) holders.push(holder);
    // A file that cannot be read may be just being written: only a holder that is known to be dead is forgotten.
    else if (holder !== null) await rm(file, { force: true });
  }
  return holders;
}

/**
 * Runs `fn` while this process holds a lock of the host, for work that is done in the worker itself.
 * @throws RepriseError `lock-held` at once where it is taken, naming the holder
 */
export async function withHostLock<T>(
  stateDir: string,
  name: string,
  mode: JobLock['mode'],
  fn: () => Promise<T>,
  holder: { key: string; tool: string } = { key: name, tool: 'worker' },
): Promise<T> {
  const lock = await takeHostLock(stateDir, { name, mode }, holder);
  try {
    return await fn();
  } finally {
    await lock.release();
  }
}

/**
 * The same, but waits for its turn: an attempt that was given up for dead may still be at it.
 * @throws RepriseError `lock-held` after `timeoutMs`; `signal.reason` where aborted
 */
export async function waitForLock<T>(
  stateDir: string,
  name: string,
  fn: () => Promise<T>,
  { signal, timeoutMs }: { signal?: AbortSignal; timeoutMs: number },
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const lock = await takeHostLock(stateDir, { name, mode: 'exclusive' }, { key: name, tool: 'worker' }).catch(
      (error: unknown) => {
        if (!isRepriseError(error) || error.code !== 'lock-held' || performance.now() >= deadline) throw error;
        return null;
      },
    );
    if (lock === null) {
      await sleep(LOCK_POLL_MS, undefined, { signal });
      continue;
    }
    try {
      return await fn();
    } finally {
      await lock.release();
    }
  }
}

/**
 * Takes a lock of the host, or refuses. A holder without a name is just starting or ending, so another look follows
 * until it has one or is gone, for 10 s at most.
 * @throws RepriseError `lock-held`, naming the holder
 */
export async function takeHostLock(
  stateDir: string,
  lock: JobLock,
  holder: { key: string; tool: string },
): Promise<HeldLock> {
  const path = hostLockPath(stateDir, lock.name);
  const deadline = performance.now() + NAMELESS_MS;
  for (;;) {
    const held = await tryLock(path, lock.mode, holder);
    if (held !== null) return held;
    const [other] = await lockHolders(path);
    if (other !== undefined || performance.now() >= deadline) throw lockHeld(lock, other);
    await sleep(NAMELESS_POLL_MS);
  }
}

function lockHeld(lock: JobLock, other: FileLockHolder | undefined): RepriseError {
  const who =
    other === undefined
      ? 'a job that is just starting or ending'
      : `${other.tool} (job ${other.key}, process ${other.pid}, since ${other.startedAt})`;
  return new RepriseError(
    'lock-held',
    `the lock ${lock.name} is held by ${who}`,
    'Wait until it has ended (`reprise status` shows it), then try again.',
    { lock: lock.name, holder: other?.key, tool: other?.tool, pid: other?.pid, since: other?.startedAt },
  );
}

async function lockOpenFile(fd: number, mode: JobLock['mode']): Promise<boolean> {
  const child = spawn('flock', [`--${mode}`, '--nonblock', `--conflict-exit-code=${BUSY}`, '3'], {
    stdio: ['ignore', 'ignore', 'ignore', fd],
  });
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code === 0) return true;
  if (code === BUSY) return false;
  throw new RepriseError(
    'internal',
    `flock ended with ${code}`,
    'See that the state directory is on a local file system.',
  );
}
