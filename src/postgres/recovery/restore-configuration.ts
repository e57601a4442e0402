import { chmod } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { RepriseError } from '../../domain/errors.js';
import type { OsUser } from '../../process/jobs/jobs.js';
import { writeFileAtomic } from '../../files/atomic-file.js';
import { isErrno, pathExists } from '../../files/paths.js';
import { makeOwnDirectory, refuseSharedPath } from '../../files/trusted-paths.js';
import type { Configuration, ConfigurationFile } from './configuration.js';
import { quoteSetting } from './auto-conf.js';
import { shellWord } from '../../domain/text/text.js';

/** Files of these that are not there. */
export async function missingFiles(paths: readonly string[]): Promise<readonly string[]> {
  const missing: string[] = [];
  for (const path of paths) if (!(await pathExists(path))) missing.push(path);
  return missing;
}

/** Lays captured files below a directory, each at its own path there: to read, compare and copy from. */
export async function extractFiles(
  files: readonly ConfigurationFile[],
  directory: string,
  user: OsUser | null,
): Promise<void> {
  for (const { path, text } of files) await writeBelow(join(directory, path), text, user);
}

/**
 * Puts captured files back where they were, each only where nothing is: what is in its place is never overwritten.
 * @param extractedDir where they are, for whoever has to do it by hand
 * @throws RepriseError `privilege-missing` with the command that does it, where this process may not
 */
export async function restoreMissingFiles(
  files: readonly ConfigurationFile[],
  extractedDir: string,
  user: OsUser | null,
): Promise<readonly string[]> {
  const done: string[] = [];
  for (const { path, mode, text } of files) {
    if (await pathExists(path)) continue;
    try {
      await writeBelow(path, text, user);
      await chmod(path, mode);
    } catch (error) {
      if (!isErrno(error, 'EACCES', 'EPERM', 'EROFS')) throw error;
      throw new RepriseError(
        'privilege-missing',
        `${path} is missing, and this worker may not write it`,
        `sudo mkdir -p ${shellWord(dirname(path))} && sudo cp -an ${shellWord(`${join(extractedDir, dirname(path))}/.`)} ${shellWord(`${dirname(path)}/`)}; then: reprise continue WORKFLOW`,
      );
    }
    done.push(path);
  }
  return done;
}

/**
 * A `postgresql.conf` for a data directory that has none, because its server read another one: pg_ctl expects it there. It
 * names the files that the server used.
 */
export async function pointToConfiguration(
  dataDir: string,
  { main, files }: Configuration,
  user: OsUser | null,
): Promise<boolean> {
  const own = join(dataDir, 'postgresql.conf');
  const { config_file: configFile, ...others } = main;
  if (configFile === undefined || !files.some(({ path }) => path === configFile) || (await pathExists(own)))
    return false;
  const lines = [
    `include ${quoteSetting(configFile)}`,
    ...Object.entries(others).map(([name, path]) => `${name} = ${quoteSetting(path)}`),
  ];
  await writeFileAtomic(
    own,
    `# Written by Reprise: the server's configuration is outside its data directory.\n${lines.join('\n')}\n`,
    user,
  );
  return true;
}

/** Gives a data directory on another host, which has no such file, the access rules of its server. */
export async function copyAccessRules(
  dataDir: string,
  { main, files }: Configuration,
  user: OsUser | null,
): Promise<void> {
  for (const [setting, name] of [
    ['hba_file', 'pg_hba.conf'],
    ['ident_file', 'pg_ident.conf'],
  ] as const) {
    const captured = files.find(({ path }) => path === main[setting]);
    if (captured !== undefined && !(await pathExists(join(dataDir, name))))
      await writeFileAtomic(join(dataDir, name), captured.text, user);
  }
}

async function writeBelow(path: string, text: string, user: OsUser | null): Promise<void> {
  const directory = dirname(path);
  // Each directory made here, and only those, is the server's: what was there keeps its owner.
  if (await pathExists(directory)) await refuseSharedPath(directory, { owner: user });
  else await makeOwnDirectory(directory, user);
  await writeFileAtomic(path, text, user);
}
