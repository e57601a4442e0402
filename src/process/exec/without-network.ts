import { isRepriseError } from '../../domain/errors.js';
import type { OsUser } from '../jobs/jobs.js';
import { runProgram } from './run-program.js';
import { asUser } from './users.js';

/** How a program is started, as a user, in a network of its own that leads nowhere: what comes before its arguments. */
type Prefix = readonly string[];

const known = new Map<number | null, Promise<Prefix | null>>();

/**
 * What starts a program as `user` without a network: it has no interface but a loopback that is down. Sockets in the file system stay
 * reachable, in both directions. The user is in the arguments; run them as oneself.
 * @returns null where this host lets nobody make a network namespace, as in many containers
 */
export function withoutNetwork(user: OsUser | null): Promise<Prefix | null> {
  const key = user?.uid ?? null;
  const found = known.get(key) ?? firstThatWorks(user);
  known.set(key, found);
  return found;
}

async function firstThatWorks(user: OsUser | null): Promise<Prefix | null> {
  const unprivileged = ['unshare', '--user', '--map-current-user', '--net', '--'];
  const ways =
    process.getuid?.() === 0
      ? [
          ['unshare', '--net', '--', ...asUser(user, [])],
          [...asUser(user, []), ...unprivileged],
        ]
      : [unprivileged];
  for (const way of ways) if (await works(way)) return way;
  return null;
}

async function works(prefix: Prefix): Promise<boolean> {
  try {
    await runProgram([...prefix, 'true'], { timeoutMs: 10_000 });
    return true;
  } catch (error) {
    if (!isRepriseError(error)) throw error;
    return false;
  }
}
