import { randomBytes } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { isAgeRecipient } from '../../domain/text/age-keys.js';
import type { EncryptionConfig } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import { decryptingArgv, encryptingArgv, inTermsOfAge } from './age.js';
import { runProgram } from '../exec/run-program.js';
import type { RunProgramOptions } from '../exec/run-program.js';
import { shellWord } from '../../domain/text/text.js';

/**
 * Everybody for whom something is encrypted: those the config names, and those of its file.
 * @throws RepriseError `config-invalid` where the file cannot be read, or a line of it is no public key; it is not repeated
 */
export async function recipientsOf({ recipients, recipientsFile }: EncryptionConfig): Promise<readonly string[]> {
  if (recipientsFile === undefined) return recipients;
  const text = await readFile(recipientsFile, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new RepriseError(
      'config-invalid',
      `the recipients file ${recipientsFile} cannot be read: ${error.code ?? 'unreadable'}`,
      'check encryption.recipients_file and its rights',
    );
  });
  const found = text.split(/\r?\n/).flatMap((line, index) => {
    const recipient = line.trim();
    if (recipient === '' || recipient.startsWith('#')) return [];
    if (isAgeRecipient(recipient)) return [recipient];
    throw new RepriseError(
      'config-invalid',
      `${recipientsFile}:${index + 1}: this is no public key of age`,
      'one age1... a line, as age-keygen -y prints it',
    );
  });
  const all = [...new Set([...recipients, ...found])];
  if (all.length > 0) return all;
  throw new RepriseError(
    'config-invalid',
    `the recipients file ${recipientsFile} names no recipient`,
    'write a public key (age1...) into it',
  );
}

/**
 * The private key of this host, by reference.
 * @throws RepriseError `key-missing` where the config names none, or its file is missing or open to others
 */
export async function requireIdentity(
  encryption: EncryptionConfig | undefined,
  what: string,
): Promise<NonNullable<EncryptionConfig['identity']>> {
  const identity = encryption?.identity;
  if (identity === undefined) {
    throw new RepriseError(
      'key-missing',
      `${what} is encrypted, and this host has no key to read it`,
      'name one under encryption.identity of the policy; by hand: docs/encryption.md',
    );
  }
  if ('file' in identity) {
    const { file } = identity;
    const found = await stat(file).catch(() => null);
    if (found === null)
      throw new RepriseError(
        'key-missing',
        `the key file ${file} does not exist`,
        'copy the key from the place where it is kept, or correct encryption.identity',
      );
    if ((found.mode & 0o077) !== 0)
      throw new RepriseError(
        'key-missing',
        `the key file ${file} can be read by others`,
        `chmod 600 ${shellWord(file)}; create a new key if another user may have read it`,
      );
  }
  return identity;
}

/**
 * Tries an encryption on some random text: age is there, the public keys are good, and the key of this host opens what
 * they encrypt. Where there is no key, only the writing is tried.
 * @throws RepriseError `tool-missing`, `config-invalid`, `key-missing`
 */
export async function tryEncryption(
  encryption: EncryptionConfig,
  how: Pick<RunProgramOptions, 'user' | 'signal'>,
): Promise<void> {
  const text = randomBytes(16).toString('hex');
  const sealed = await inTermsOfAge(
    runProgram(await encryptingArgv(await recipientsOf(encryption), ['echo', text]), how),
  );
  if (encryption.identity === undefined) return;
  const identity = await requireIdentity(encryption, 'what is written here');
  const opened = await inTermsOfAge(
    runProgram(await decryptingArgv(identity, '-', ['cat']), { ...how, input: sealed.stdout }),
  );
  if (opened.stdout !== text)
    throw new RepriseError(
      'key-missing',
      'age decrypts another text than it encrypted',
      'see which program age is: age --version',
    );
}
