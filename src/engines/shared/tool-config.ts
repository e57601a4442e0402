/** Configuration files of an engine's own tool: pgbackrest.conf, WAL-G's environment file. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { RepriseError } from '../../domain/errors.js';
import { isErrno } from '../../files/paths.js';
import { runProgram } from '../../process/exec/run-program.js';
import type { ReadContext } from '../engine.js';
import type { OsUser } from '../../process/jobs/jobs.js';

/** What a command line of such a tool needs to know; part of every engine context. */
export type ToolContext = Pick<ReadContext, 'cluster' | 'policy' | 'user' | 'signal'>;

/** @throws RepriseError `config-invalid` where the file is missing or the tool's user cannot read it */
export async function requireReadable(path: string, user: OsUser | null, hint: string): Promise<void> {
  const { exitCode } = await runProgram(['test', '-r', path], { user, acceptCodes: [0, 1] });
  if (exitCode === 0) return;
  const who = user?.name ?? "the worker's user";
  throw new RepriseError('config-invalid', `${path} is missing, or not readable by ${who}`, hint);
}

/**
 * SHA-256 (hex) of the file as it is: no setting may change between an approval and what is done.
 * @throws RepriseError `config-invalid` where it cannot be read
 */
export async function digestOfConfig(path: string): Promise<string> {
  const content = await readFile(path).catch((error: unknown) => {
    if (!isErrno(error, 'ENOENT', 'EACCES', 'ENOTDIR')) throw error;
    throw new RepriseError(
      'config-invalid',
      `${path} is missing, or the worker may not read it`,
      'put it back as it was approved; with another file, make a new plan',
    );
  });
  return createHash('sha256').update(content).digest('hex');
}
