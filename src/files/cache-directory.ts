import { lstatSync, mkdirSync } from 'node:fs';
import { userInfo } from 'node:os';

/**
 * The directory `reprise` below `$XDG_CACHE_HOME` or `~/.cache`; null where there is none in which only the user that runs
 * this can write: what is kept there is believed, and whoever could write it could have us do as it says. Synchronous, because a
 * program starts with it.
 */
export function ownCacheDirectory(env: Readonly<Record<string, string | undefined>> = process.env): string | null {
  try {
    const { homedir, uid } = userInfo();
    const isOurs = (path: string): boolean => {
      const found = lstatSync(path);
      return found.isDirectory() && found.uid === uid && (found.mode & 0o022) === 0;
    };
    const named = env['XDG_CACHE_HOME'];
    const above = named?.startsWith('/') ? named : `${homedir}/.cache`;
    if (above !== named && !isOurs(homedir)) return null;
    const directory = `${above}/reprise`;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    return isOurs(above) && isOurs(directory) ? directory : null;
  } catch {
    // No home directory, or none that can be written.
    return null;
  }
}
