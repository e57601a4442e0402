import type { EncryptionConfig } from '../../domain/config.js';
import { runProgram } from '../exec/run-program.js';
import type { OsUser } from '../jobs/jobs.js';
import { requireIdentity } from './age-keys.js';
import { decryptingArgv, encryptingArgv, inTermsOfAge } from './age.js';

/** A short text, encrypted for these recipients in age's armoured form. */
export async function encryptText(recipients: readonly string[], text: string, user: OsUser | null): Promise<string> {
  const { stdout } = await inTermsOfAge(runProgram(await encryptingArgv(recipients, ['cat']), { user, input: text }));
  return `${stdout}\n`;
}

/**
 * The text in an encrypted file that was read already.
 * @param name of the file, for the error
 * @throws RepriseError `key-missing`, `backup-corrupt`
 */
export async function decryptText(
  encryption: EncryptionConfig | undefined,
  name: string,
  input: Buffer,
  user: OsUser | null,
): Promise<string> {
  const argv = await decryptingArgv(await requireIdentity(encryption, name), '-', ['cat']);
  return (await inTermsOfAge(runProgram(argv, { user, input }))).stdout;
}
