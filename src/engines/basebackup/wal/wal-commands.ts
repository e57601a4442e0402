import { existsSync } from 'node:fs';
import { RepriseError } from '../../../domain/errors.js';
import { IDENTITY_FILE } from '../../../domain/storage/repository-identity.js';
import { quotedForCommand } from '../../../postgres/wal/archiving.js';
import type { ReadContext } from '../../engine.js';
import { walPrefix } from '../repository/names.js';
import { receivesWal } from '../options.js';
import { ASKED, LISTED, PREFETCHED } from './wal-prefetch.js';

type Where = Pick<ReadContext, 'cluster' | 'policy' | 'storage'>;

/**
 * One file of WAL into a directory, in plain shell, so that nothing has to be loaded for each segment. It appears whole
 * under its name (link(2) never replaces one) and is on disk when the command ends with 0. What is there already has to
 * be a file, and the same, byte for byte. A directory that is missing, such as an unmounted one, is never made. Nobody can
 * plant a link that is followed: the temporary name is random, and `set -C` opens it with O_EXCL. Where a link was put in
 * its place, the link gets the name of the segment; it is taken away again, and nothing counts as archived. Of a repository
 * that has its marker ($4), nothing goes to its place when the marker is not there.
 */
const PUSH = [
  'umask 077; set -C',
  '[ -z "$4" ] || [ -e "$4" ] || { echo "$4 is missing: this is not the repository" >&2; exit 1; }',
  't="$1/$3.gz"',
  'no() { echo "$t is a symbolic link: not archived" >&2; exit 1; }',
  'if [ -L "$t" ]; then no; fi',
  'if [ -e "$t" ]; then gzip -dc "$t" | cmp -s - "$2" && sync "$t" "$1"; exit; fi',
  'n=$(mktemp -u "$1/.reprise-tmp-$3.XXXXXXXXXXXX") || exit 1',
  'trap "rm -f \\"\\$n\\"" EXIT',
  'gzip -1nc "$2" >"$n" && sync "$n" && ln "$n" "$t" || exit 1',
  'if [ -L "$t" ]; then rm -f "$t"; no; fi',
  'sync "$1"',
].join('; ');

const FETCH = '[ -f "$1/$3.gz" ] && [ ! -L "$1/$3.gz" ] && gzip -dc "$1/$3.gz" >"$2"';
const FETCH_BEGINNING = '[ -f "$1/$3.partial.gz" ] && [ ! -L "$1/$3.partial.gz" ] && gzip -dc "$1/$3.partial.gz" >"$2"';

/**
 * What a worker brings beside the files is waited for while the server lives: a segment of the archive that is not there
 * yet must not look like the end of the WAL. Every other failure ends the recovery (255) instead of the WAL. A link is
 * a copy here: a server that recovers writes into no segment, and when it takes writes nobody needs these any more.
 */
const WAIT = [
  `cd ${PREFETCHED} || exit 255`,
  't="../$2"',
  'n=0',
  `until [ -e "$1" ]; do if [ -e ${LISTED} ]; then grep -qxF "$1" ${LISTED} || exit 1; echo "$1" >${ASKED}; fi`,
  'read -r p <../postmaster.pid && kill -0 "$p" || exit 255',
  'n=$((n+1)); [ $((n % 600)) -ne 200 ] || echo "waiting for WAL $1: a worker of Reprise brings it" >&2',
  'sleep 0.05; done',
  `echo "$1" >${ASKED}`,
  'ln "$1" "$t" 2>/dev/null || cp "$1" "$t" || exit 255',
].join('; ');

/** `archive_command` of the cluster; null where its WAL is received. */
export function archiveCommand(context: Where): string | null {
  if (receivesWal(context.policy.options)) return null;
  const push = inShell(PUSH, 'wal-push', walDirectory(context));
  const marker = context.storage.localPath(IDENTITY_FILE);
  return existsSync(marker) ? `${push} ${quotedForCommand(marker)}` : push;
}

/**
 * `restore_command` of a server that recovers: a copy from the repository's directory, or of what is brought beside the
 * restored files. A missing segment is no success.
 */
export function restoreCommand(context: Where): string {
  if (!context.storage.capabilities.localPath) return waiting('%f');
  return inShell(FETCH, 'wal-fetch', walDirectory(context));
}

/**
 * For a segment that nobody has whole: a server that ended in the middle of one has archived its beginning as .partial,
 * and the zeros after it end the WAL. What was salvaged comes before it.
 */
export function restoreBeginningCommand(context: Where): string {
  if (!context.storage.capabilities.localPath) return waiting('%f.partial');
  return inShell(FETCH_BEGINNING, 'wal-fetch', walDirectory(context));
}

function waiting(name: string): string {
  return `/bin/sh -c ${quotedForCommand(WAIT)} wal-wait ${name} "%p"`;
}

function inShell(script: string, name: string, directory: string): string {
  return `/bin/sh -c ${quotedForCommand(script)} ${name} ${quotedForCommand(directory)} "%p" %f`;
}

function walDirectory(context: Where): string {
  if (!context.storage.capabilities.localPath) {
    throw new RepriseError(
      'capability-missing',
      `a ${context.storage.kind} repository is no directory that the server could archive into`,
      'have a worker receive the WAL instead: options: { wal: receivewal }',
    );
  }
  return context.storage.localPath(walPrefix(context).slice(0, -1));
}
