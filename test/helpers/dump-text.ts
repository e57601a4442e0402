import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { ServerAddress } from './postgres.js';

/** What pg_dump prints of a database, as text. */
export async function dumpText(
  server: ServerAddress & { readonly binDir: string },
  database: string,
  ...options: readonly string[]
): Promise<string> {
  const address = ['-h', server.host, '-p', String(server.port), '-U', server.user];
  const { stdout } = await promisify(execFile)(join(server.binDir, 'pg_dump'), [...options, ...address, database], {
    maxBuffer: 1 << 28,
  });
  return stdout;
}

/** The definitions of a database, in words that two dumps of the same have in common. */
export const schemaText = (server: ServerAddress & { readonly binDir: string }, database: string): Promise<string> =>
  dumpText(server, database, '--schema-only', '--restrict-key=x');
