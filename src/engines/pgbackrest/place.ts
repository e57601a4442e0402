import { readFile, stat } from 'node:fs/promises';
import { RepriseError } from '../../domain/errors.js';
import type { EnginePlace } from '../engine.js';
import { configWarnings, localRepository, parseConfigFile } from './config-file.js';
import type { PgbackrestOptions } from './options.js';

/**
 * Where pgbackrest.conf says that the first repository is, and whether it is encrypted.
 * @throws RepriseError `config-invalid` where it cannot be read
 */
export async function inspectPgbackrestPlace(options: Readonly<Record<string, unknown>>): Promise<EnginePlace> {
  const { config, stanza } = options as PgbackrestOptions;
  const text = await readFile(config, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new RepriseError(
      'config-invalid',
      `${config} cannot be read (${error.code ?? 'unknown'})`,
      'correct options.config of the policy, or the rights of the file',
    );
  });
  const file = parseConfigFile(text, stanza);
  const warnings = await configWarnings(file, config);
  const holdsSecret = [...file.keys()].some((name) => /-(pass|key|key-secret|token)$/.test(name));
  if (holdsSecret && ((await stat(config)).mode & 0o077) !== 0)
    warnings.push(`${config} holds a secret and is open to others; run: chmod 600 ${config}`);
  return {
    path: localRepository(file),
    encrypted: (file.get('repo1-cipher-type') ?? 'none') !== 'none',
    encryptHint: `in ${config}: repo1-cipher-type=aes-256-cbc and repo1-cipher-pass=...; a repository is encrypted from its stanza-create on, so give it a new repo1-path`,
    warnings,
  };
}
