import { readFile } from 'node:fs/promises';
import { RepriseError } from '../../domain/errors.js';
import { parseConfigFile } from './config-file.js';
import type { PgbackrestOptions } from './options.js';

/**
 * `repo1-cipher-type` as pgbackrest.conf gives it (manual: none is the default); null where the repository is not
 * encrypted. Of the passphrase nothing is looked at.
 * @throws RepriseError `config-invalid` where the file cannot be read
 */
export async function ownCipher(options: Readonly<Record<string, unknown>>): Promise<string | null> {
  const { config, stanza } = options as PgbackrestOptions;
  const text = await readFile(config, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new RepriseError('config-invalid', `${config} cannot be read: ${error.code ?? 'unreadable'}`, 'check options.config of the policy and the rights of the file');
  });
  const cipher = parseConfigFile(text, stanza).get('repo1-cipher-type') ?? 'none';
  return cipher === 'none' ? null : cipher;
}
