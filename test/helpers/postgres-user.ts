import { chown } from 'node:fs/promises';
import { promisify } from 'node:util';
import { execFile } from 'node:child_process';

const run = promisify(execFile);

/** PostgreSQL refuses to run as root: then its files and programs belong to the user `postgres`. */
export const asRoot = process.getuid?.() === 0;

/** Puts a command under the user `postgres` where we are root; leaves it alone otherwise. */
export function asPostgres(program: string, args: readonly string[]): [string, string[]] {
  if (!asRoot) return [program, [...args]];
  return ['setpriv', ['--reuid=postgres', '--regid=postgres', '--init-groups', '--', program, ...args]];
}

let ids: Promise<[uid: number, gid: number]> | undefined;

/** Gives one file or directory to `postgres` where we are root. */
export async function giveToPostgres(path: string): Promise<void> {
  if (!asRoot) return;
  ids ??= Promise.all([id('-u'), id('-g')]);
  await chown(path, ...(await ids));
}

/** Runs a program as `postgres` and returns what it printed; the error carries what it complained of. */
export async function runAsPostgres(program: string, args: readonly string[], cwd = '/'): Promise<string> {
  // The working directory is one that `postgres` may read: root's own is not.
  const { stdout } = await run(...asPostgres(program, args), { cwd, env: { ...process.env, LC_ALL: 'C.UTF-8' } });
  return stdout;
}

async function id(flag: string): Promise<number> {
  const { stdout } = await run('id', [flag, 'postgres']);
  return Number(stdout);
}
