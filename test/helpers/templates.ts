/**
 * Data directories that a test run makes once and copies: initdb costs a second of CPU, the seeded cluster of the sites
 * three. They lie in a directory that the global set-up makes and the global teardown removes; two runs beside each
 * other have one each.
 */
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { makeTempDir } from './make-temp-dir.js';
import { runAsPostgres } from './postgres-user.js';
import { Reaper } from './reaper.js';

const run = promisify(execFile);
const VARIABLE = 'REPRISE_TEST_TEMPLATES';

/** Makes the run's directory of templates; returns how to remove it. */
export async function openTemplates(): Promise<() => Promise<void>> {
  const reaper = new Reaper();
  const directory = await makeTempDir('templates');
  reaper.directory(directory);
  process.env[VARIABLE] = directory;
  return async () => {
    await rm(directory, { recursive: true, force: true, maxRetries: 3 });
    reaper.done();
  };
}

/** Makes a data directory with initdb. */
export async function initdb(binDir: string, argv: readonly string[], dataDir: string): Promise<void> {
  await runAsPostgres(join(binDir, 'initdb'), ['--pgdata', dataDir, '--no-sync', '--no-instructions', ...argv]);
}

/** The same by copying what initdb has made of the same arguments in this run: also its system identifier. */
export async function copyOfInitdb(binDir: string, argv: readonly string[], dataDir: string): Promise<void> {
  const name = createHash('sha256')
    .update(`${binDir}\0${argv.join('\0')}`)
    .digest('hex')
    .slice(0, 12);
  await copyTemplate(name, (path) => initdb(binDir, argv, path), dataDir);
}

/** Copies a template, which is made where this run has none of that name; without a run's directory it is made in place. */
export async function copyTemplate(
  name: string,
  make: (dataDir: string) => Promise<void>,
  dataDir: string,
): Promise<void> {
  const directory = process.env[VARIABLE];
  if (directory === undefined) return make(dataDir);
  const template = join(directory, name);
  if (!existsSync(template)) {
    // Two test files may make the same one at once: each makes a whole one, the first to end is kept.
    const mine = `${template}.${randomBytes(4).toString('hex')}`;
    await make(mine);
    await rename(mine, template).catch(async (error: unknown) => {
      if (!existsSync(template)) throw error;
      await rm(mine, { recursive: true });
    });
  }
  await run('cp', ['-a', '--reflink=auto', template, dataDir]);
}
