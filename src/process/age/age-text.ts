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
export async function decryptText(...file: Parameters<typeof decryptBytes>): Promise<string> {
  return (await decryptBytes(...file)).toString('utf8').replace(/\n$/, '');
}

/** The same where it may be no text in UTF-8. */
export async function decryptBytes(
  encryption: EncryptionConfig | undefined,
  name: string,
  input: Buffer,
  user: OsUser | null,
): Promise<Buffer> {
  const argv = await decryptingArgv(await requireIdentity(encryption, name), '-', ['base64', '--wrap=0']);
  return Buffer.from((await inTermsOfAge(runProgram(argv, { user, input }))).stdout, 'base64');
}
