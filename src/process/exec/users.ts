/** Which operating-system user a tool runs as, and how root becomes that user. */
import { stat } from 'node:fs/promises';
import { execa } from 'execa';
import { RepriseError } from '../../domain/errors.js';
import type { OsUser } from '../jobs/jobs.js';

const DATABASE_USER = 'postgres';

/**
 * The user for tools on PostgreSQL's files: null when the worker is not root, for then it already is the owner. As
 * root: the owner of `ownerPath` if it exists and is not root's, else `postgres`, because PostgreSQL refuses root.
 * @throws RepriseError `privilege-missing` where root finds no such user
 */
export async function jobUser(ownerPath?: string): Promise<OsUser | null> {
  if (process.getuid?.() !== 0) return null;
  if (ownerPath !== undefined) {
    const owner = await stat(ownerPath).then(
      ({ uid, gid }) => ({ uid, gid }),
      () => undefined,
    );
    if (owner !== undefined && owner.uid !== 0) return userOf(owner);
  }
  const user = await lookUp(DATABASE_USER);
  if (user !== undefined) return user;
  throw new RepriseError(
    'privilege-missing',
    `there is no user ${DATABASE_USER} on this host, and PostgreSQL refuses to run as root`,
    'Run the worker as the owner of the data directory, or install postgresql-common, which makes the user.',
  );
}

/** A user of this host by number; one that no source knows has the number for a name. */
export async function userOf({ uid, gid }: Pick<OsUser, 'uid' | 'gid'>): Promise<OsUser> {
  return (await lookUp(String(uid))) ?? { uid, gid, name: String(uid), home: '/' };
}

/**
 * The same command, run as `user`: unchanged where that is who we are. By setpriv and not by spawn's uid and gid,
 * which would keep root's supplementary groups. setpriv becomes the tool, so the process id stays the same.
 * @throws RepriseError `privilege-missing` where only root could do that
 */
export function asUser(user: OsUser | null, argv: readonly string[]): readonly string[] {
  const own = process.getuid?.();
  if (user === null || user.uid === own) return argv;
  if (own !== 0) {
    throw new RepriseError(
      'privilege-missing',
      `a tool is to run as ${user.name}, and this process is not root`,
      `Run the worker as ${user.name}.`,
    );
  }
  // Groups are read from the user database, which knows no user that is a bare number.
  const groups = user.name === String(user.uid) ? '--clear-groups' : '--init-groups';
  return ['setpriv', `--reuid=${user.uid}`, `--regid=${user.gid}`, groups, '--', ...argv];
}

const KEPT_MS = 60_000;
const known = new Map<string, { readonly user: OsUser; readonly until: number }>();

/** By name or number. One that was found is kept for a minute: each step of each operation asks, and starts a process for it. */
async function lookUp(user: string): Promise<OsUser | undefined> {
  const kept = known.get(user);
  if (kept !== undefined && performance.now() < kept.until) return kept.user;
  const found = await askHost(user);
  if (found === undefined) known.delete(user);
  else known.set(user, { user: found, until: performance.now() + KEPT_MS });
  return found;
}

/** getent asks every source the host knows, such as LDAP. */
async function askHost(user: string): Promise<OsUser | undefined> {
  const { stdout, exitCode } = await execa('getent', ['passwd', user], { reject: false });
  if (exitCode !== 0) return undefined;
  const [name, , uid, gid, , home] = stdout.trim().split(':');
  if (name === undefined || uid === undefined || gid === undefined) return undefined;
  return { name, uid: Number(uid), gid: Number(gid), home: home === undefined || home === '' ? '/' : home };
}
