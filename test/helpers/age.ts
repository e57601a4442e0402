import { execFile } from 'node:child_process';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { giveToPostgres } from './postgres-user.js';
import { tempDir } from './temp.js';

const run = promisify(execFile);

/** A key pair made for one test. */
export interface AgeKey {
  /** The key file, mode 0600, of the user that jobs run as. */
  readonly file: string;
  readonly recipient: string;
  /** The line that no argument, environment, log or history may hold. */
  readonly secret: string;
  /** A program that prints the private key. */
  readonly command: readonly string[];
}

/** Makes a key pair as a person would, with age-keygen. */
export async function makeAgeKey(): Promise<AgeKey> {
  const directory = await tempDir('age');
  const file = join(directory, 'key.txt');
  await run('age-keygen', ['-o', file]);
  await chmod(file, 0o600);
  const text = await readFile(file, 'utf8');
  const [secret = ''] = /AGE-SECRET-KEY-\w+/.exec(text) ?? [];
  const { stdout } = await run('age-keygen', ['-y', file]);
  const program = join(directory, 'print-key');
  await writeFile(program, `#!/bin/sh\ncat '${file}'\n`);
  await chmod(program, 0o755);
  for (const path of [directory, file]) await giveToPostgres(path);
  return { file, recipient: stdout.trim(), secret, command: [program] };
}
