import { RepriseError } from '../../domain/errors.js';
import { errnoOf } from '../../files/paths.js';
import { shellWord } from '../../domain/text/text.js';

/**
 * A failed system call in this program's words: full → `storage-full`, a path that is not what it should be →
 * `path-refused`, all else → `storage-unreachable`. Errors that are ours already pass through.
 */
export function storageFailure(error: unknown, root: string, doing: string): RepriseError {
  if (error instanceof RepriseError) return error;
  const code = errnoOf(error);
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new RepriseError(
      'storage-full',
      `the repository ${root} is full: ${doing} failed (${code})`,
      'free space there or move the repository; older backups were not touched',
    );
  }
  if (code === 'ELOOP' || code === 'ENOTDIR' || code === 'EISDIR') {
    return new RepriseError(
      'path-refused',
      `${doing} in the repository ${root} met a link, or a file in the place of a directory (${code})`,
      'see what is there with ls -l; a repository holds directories and plain files only',
    );
  }
  const text = code ?? (error as { message?: string }).message ?? String(error);
  const hint =
    code === 'EACCES' || code === 'EPERM'
      ? 'make the directory belong to the user the worker runs as, mode 0700'
      : 'check that its file system is mounted and healthy';
  return new RepriseError(
    'storage-unreachable',
    `the repository ${root} cannot be used: ${doing} failed (${text})`,
    hint,
  );
}

export function rootMissing(root: string): RepriseError {
  return new RepriseError(
    'storage-unreachable',
    `the directory of the repository, ${root}, does not exist`,
    `mount its file system, or create it for the user the worker runs as: install -d -m 0700 -o USER ${shellWord(root)}`,
    { missing: 'root' },
  );
}

export function leavesRoot(root: string, key: string, why: string): RepriseError {
  return new RepriseError(
    'path-refused',
    `${JSON.stringify(key)} in the repository ${root} is refused: ${why}`,
    'remove it, or put the plain file in its place; what follows links out of a repository is never read or written',
  );
}
