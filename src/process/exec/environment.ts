import type { OsUser } from '../jobs/jobs.js';

const SYSTEM_PATH = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/**
 * The environment of every tool: nothing of the worker's own but PATH, so that no secret of the worker's reaches a
 * tool and no locale or time zone changes what a tool prints.
 */
export function toolEnvironment(
  user: OsUser | null,
  extra: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const name = user?.name ?? process.env['USER'] ?? process.env['LOGNAME'];
  return {
    PATH: toolPath(),
    HOME: user?.home ?? process.env['HOME'] ?? '/',
    ...(name === undefined ? {} : { USER: name, LOGNAME: name }),
    LANG: 'C.UTF-8',
    LC_ALL: 'C.UTF-8',
    TZ: 'UTC',
    PGTZ: 'UTC',
    ...extra,
  };
}

/** Absolute entries only: an empty or relative one would let the working directory choose the program. */
function toolPath(): string {
  const own = (process.env['PATH'] ?? '').split(':').filter((entry) => entry.startsWith('/'));
  return [...new Set([...own, ...SYSTEM_PATH])].join(':');
}
