import { readFile } from 'node:fs/promises';
import { RepriseError } from '../domain/errors.js';

/** Certificates of a `ca_file`, PEM; undefined where none is named. Throws `config-invalid` where it cannot be read. */
export async function authorities(file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined;
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new RepriseError(
      'config-invalid',
      `the certificates in ${file} cannot be read: ${(error as NodeJS.ErrnoException).code ?? 'unreadable'}`,
      'check ca_file of the notifier',
    );
  }
}
