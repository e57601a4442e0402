import { readFile, stat } from 'node:fs/promises';
import type { SecretReference } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import { runProgram } from './run-program.js';
import { shellWord } from '../../domain/text/text.js';

/** What gives a secret: the environment, and for `command` a way to run a program. */
export interface SecretSources {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly run: (argv: readonly string[]) => Promise<{ readonly stdout: string }>;
}

/**
 * The secret behind a reference, without the line end that files and programs add. Read each time it is needed, so that
 * a rotated secret is used at once, and it is kept nowhere. Throws `config-invalid`, naming the reference, never the value.
 */
export async function resolveSecret(
  reference: SecretReference,
  { env, run }: SecretSources = { env: process.env, run: (argv) => runProgram(argv, { leavesProcesses: true }) },
): Promise<string> {
  if ('env' in reference) {
    return present(env[reference.env], `the environment variable ${reference.env}`, 'set it for the worker');
  }
  if ('file' in reference)
    return present(await readSecret(reference.file), `the file ${reference.file}`, 'write the secret into it');
  const { stdout } = await run(reference.command);
  return present(stdout, `the output of ${reference.command[0] ?? 'the command'}`, 'run it by hand to see its output');
}

async function readSecret(file: string): Promise<string> {
  try {
    // PostgreSQL's own rule for password files: useless when others can read it.
    if (((await stat(file)).mode & 0o077) !== 0) {
      throw new RepriseError(
        'config-invalid',
        `other users can read the secret in ${file}`,
        `chmod 600 ${shellWord(file)}; change the secret if another user may have read it`,
      );
    }
    return await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof RepriseError) throw error;
    const code = (error as NodeJS.ErrnoException).code ?? 'unreadable';
    throw new RepriseError(
      'config-invalid',
      `the secret in ${file} cannot be read: ${code}`,
      'check the path and its owner',
    );
  }
}

function present(secret: string | undefined, where: string, hint: string): string {
  const trimmed = secret?.replace(/\r?\n$/, '');
  if (!trimmed) throw new RepriseError('config-invalid', `${where} contains no secret`, hint);
  return trimmed;
}
