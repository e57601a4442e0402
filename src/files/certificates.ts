import { readFile } from 'node:fs/promises';
import { RepriseError } from '../domain/errors.js';

/**
 * The certificates of a `ca_file`, PEM; undefined where the config names none.
 * @throws RepriseError `config-invalid` with this hint, where the file cannot be read
 */
export async function readCertificates(file: string | undefined, hint: string): Promise<string | undefined> {
  if (file === undefined) return undefined;
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new RepriseError(
      'config-invalid',
      `the certificates in ${file} cannot be read: ${(error as NodeJS.ErrnoException).code ?? 'unreadable'}`,
      hint,
    );
  }
}
