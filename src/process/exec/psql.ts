import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { findPostgresBin } from './find-programs.js';

/**
 * Has a person work with psql at this terminal. The password, where one is asked for, is in the file that the connection names.
 * @returns its exit code
 */
export async function runPsql(connection: string): Promise<number> {
  const bin = await findPostgresBin().catch(() => null);
  const child = spawn(bin === null ? 'psql' : join(bin, 'psql'), [connection], { stdio: 'inherit' });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code) => resolve(code ?? 1));
  });
}
