import { lstat, mkdir, readFile, readlink, realpath, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { Stats } from 'node:fs';
import { RepriseError } from '../domain/errors.js';
import { type FileOwner, giveTo } from './directories.js';
import { isErrno } from './paths.js';
import { shellWord } from '../domain/text/text.js';

/** As many links as Linux follows in one path. */
const MOST_LINKS = 40;

/** Who may change a path without harm, beside root and ourselves. */
export interface PathTrust {
  /** Whom the files in it are for; null or absent: us, and for root whoever owns the directories, as with `anyOwner`. */
  readonly owner?: Pick<FileOwner, 'uid'> | null;
  /** Whoever owns the directory that the path leads to. */
  readonly itsOwner?: boolean;
  /** Whoever owns a directory on the way: only those are refused in which others than their owner may write. */
  readonly anyOwner?: boolean;
  /**
   * Whether the directory itself may be one like `/tmp`: everybody makes files there, and nobody can rename or remove those
   * of another (sticky bit). On the way to it such a directory is always allowed, where what is entered in it is trusted.
   */
  readonly sticky?: boolean;
}

/** A directory or a symbolic link that a path leads through. */
interface Step extends Pick<Stats, 'uid' | 'gid' | 'mode'> {
  readonly path: string;
  readonly isLink: boolean;
}

/**
 * Refuses a path in which another user of the host could put a link, or another directory, in the place of one of ours: each
 * directory that it leads through, links followed, belongs to root, to us or to whom it is for, and nobody else may
 * write in it. What does not exist yet is no harm.
 * @throws RepriseError `path-refused`
 */
export async function refuseSharedPath(path: string, trust: PathTrust = {}): Promise<void> {
  const walked = await stepsOf(path);
  const { ofDirectories, ofLinks } = trustedUsers(walked, trust);
  const last = walked.steps.at(-1);
  for (const step of walked.steps) {
    const users = step.isLink ? ofLinks : ofDirectories;
    if (users !== null && !users.has(step.uid)) throw ofAnother(step, path);
    const mayBeSticky = trust.sticky === true || step !== last || !walked.whole;
    if (step.isLink || (mayBeSticky && (step.mode & 0o1000) !== 0)) continue;
    const who = await othersWhoWrite(step, ofDirectories ?? ofLinks);
    if (who !== null) throw shared(step, path, who);
  }
}

/** Whose directories a path may lead through, null for anybody's, and whose links. */
function trustedUsers(
  { steps, whole }: Walked,
  { owner = null, itsOwner = false, anyOwner }: PathTrust,
): { readonly ofDirectories: ReadonlySet<number> | null; readonly ofLinks: ReadonlySet<number> } {
  const ourId = process.geteuid?.() ?? 0;
  const last = steps.at(-1)?.uid ?? 0;
  // A user's link may lead to what is that user's. Followed anywhere else, it would turn our rights on the files of others.
  const ofLinks = new Set([0, ourId, last]);
  if (anyOwner ?? (ourId === 0 && owner === null)) return { ofDirectories: null, ofLinks };
  const ofDirectories = new Set([
    0,
    ourId,
    ...(owner === null ? [] : [owner.uid]),
    ...(itsOwner && whole ? [last] : []),
  ]);
  return { ofDirectories, ofLinks };
}

/**
 * Makes a directory and its missing parents, mode 0700 and one by one, for a user; or sees that the one that is there is
 * that user's, or ours, and nobody else may write in it.
 * @param sticky as in {@link PathTrust}
 * @throws RepriseError `path-refused`
 */
export async function makeOwnDirectory(
  path: string,
  owner: FileOwner | null,
  { sticky = false }: Pick<PathTrust, 'sticky'> = {},
): Promise<void> {
  await refuseSharedPath(path, { owner, sticky: true });
  if (await makeOne(path, owner)) return;
  await refuseSharedPath(path, { owner, sticky });
  const found = await stat(path);
  if (!found.isDirectory()) throw noDirectory(path);
  // One of root that an attempt made and could not give away any more.
  if (found.uid === 0 && (found.mode & 0o077) === 0) await giveTo(await realpath(path), owner);
}

/** False where there is one. */
async function makeOne(path: string, owner: FileOwner | null): Promise<boolean> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return false;
    if (!isErrno(error, 'ENOENT') || dirname(path) === path) throw error;
    await makeOwnDirectory(dirname(path), owner, { sticky: true });
    return makeOne(path, owner);
  }
  await giveTo(path, owner);
  return true;
}

/** What a path leads through, in this order; not `whole` where it does not exist. */
interface Walked {
  readonly steps: readonly Step[];
  readonly whole: boolean;
}

async function stepsOf(path: string): Promise<Walked> {
  const steps: Step[] = [{ path: '/', isLink: false, ...pick(await lstat('/')) }];
  let pending = resolve(path).split('/');
  let at = '/';
  while (pending.length > 0) {
    const [name = '', ...rest] = pending;
    pending = rest;
    if (name === '..') at = dirname(at);
    if (name === '' || name === '.' || name === '..') continue;
    const next = join(at, name);
    const found = await lstat(next).catch((error: unknown) => {
      if (isErrno(error, 'ENOENT', 'ENOTDIR')) return null;
      throw error;
    });
    if (found === null) return { steps, whole: false };
    const isLink = found.isSymbolicLink();
    steps.push({ path: next, isLink, ...pick(found) });
    if (!isLink) {
      at = next;
      continue;
    }
    if (steps.filter((step) => step.isLink).length > MOST_LINKS)
      throw new RepriseError('path-refused', `${path} leads through more than ${MOST_LINKS} links`);
    const target = await readlink(next);
    if (target.startsWith('/')) at = '/';
    pending = [...target.split('/'), ...pending];
  }
  return { steps, whole: true };
}

const pick = ({ uid, gid, mode }: Stats): Pick<Stats, 'uid' | 'gid' | 'mode'> => ({ uid, gid, mode });

/** Who else may write in a directory, in words; null where nobody may. */
async function othersWhoWrite({ uid, gid, mode }: Step, trusted: ReadonlySet<number>): Promise<string | null> {
  if ((mode & 0o002) !== 0) return 'every user may';
  if ((mode & 0o020) === 0 || (await isGroupOf(gid, new Set([...trusted, uid])))) return null;
  return `group ${gid} may`;
}

/** Whether a group has no members but these users: Debian gives each user a group of their own. One that is not known here has others. */
async function isGroupOf(gid: number, users: ReadonlySet<number>): Promise<boolean> {
  if (gid === 0) return true;
  const [groups, accounts] = await Promise.all([linesOf('/etc/group'), linesOf('/etc/passwd')]);
  const group = groups.find((fields) => Number(fields[2]) === gid);
  if (group === undefined) return false;
  const names = new Set(group[3]?.split(',').filter((name) => name !== ''));
  const members = accounts.filter(([name = '', , , primary]) => Number(primary) === gid || names.delete(name));
  return names.size === 0 && members.every((fields) => users.has(Number(fields[2])));
}

async function linesOf(path: string): Promise<readonly (readonly string[])[]> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text.split('\n').map((line) => line.split(':'));
}

/** ` (on the way to PATH)`, where that is another one. */
const onTheWay = (at: string, path: string): string => (at === resolve(path) ? '' : ` on the way to ${path}`);

function noDirectory(path: string): RepriseError {
  return new RepriseError('path-refused', `${path} is no directory`, 'see what is there with ls -ld; move it away');
}

function shared({ path: at }: Step, path: string, who: string): RepriseError {
  return new RepriseError(
    'path-refused',
    `${who} write in the directory ${at}${onTheWay(at, path)}: what is there could be replaced by a link`,
    `make it writable for its owner only: chmod go-w ${shellWord(at)}`,
  );
}

function ofAnother({ path: at, isLink, uid }: Step, path: string): RepriseError {
  return isLink
    ? new RepriseError(
        'path-refused',
        `${path} leads through the symbolic link ${at} of user ${uid}, who could have it lead elsewhere`,
        `name the real directory, or replace the link by one of root: ln -sfnT TARGET ${shellWord(at)}`,
      )
    : new RepriseError(
        'path-refused',
        `the directory ${at}${onTheWay(at, path)} belongs to user ${uid}, who could replace what is there by a link`,
        `name a directory of the user whose files they are, or of root; or give it away: chown root ${shellWord(at)}`,
      );
}
