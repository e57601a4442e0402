import type { Encryption } from '../../domain/backup.js';
import { inTermsOfAge } from '../../process/age-errors.js';
import { recipientsOf, requireIdentity } from '../../process/age-keys.js';
import { decryptingArgv, encryptingArgv } from '../../process/age.js';
import { runTool } from '../../process/run.js';
import type { RunToolOptions } from '../../process/run.js';
import type { ReadContext } from '../engine.js';

/** What reading a file of a backup needs to know: where it lies, and whether it is encrypted. */
export interface SealedFile {
  readonly key: string;
  readonly encrypted: boolean;
}

/** For whom the policy has its files encrypted now; null where it has not. Throws `config-invalid`. */
export async function encryptionOf({ policy }: Pick<ReadContext, 'policy'>): Promise<Encryption | null> {
  if (policy.encryption === undefined) return null;
  return { tool: 'age', recipients: await recipientsOf(policy.encryption) };
}

/**
 * The command that writes a file of the repository: the program itself by its `--file`, or its output through age, so
 * that plain text never gets there.
 */
export async function writingArgv(context: ReadContext, encryption: Encryption | null, key: string, argv: readonly string[]): Promise<readonly string[]> {
  const path = context.storage.localPath(key);
  return encryption === null ? [...argv, `--file=${path}`] : encryptingArgv(encryption.recipients, argv, path);
}

/**
 * The command that has a program read a file: named as its last argument, or decrypted to its stdin.
 * @throws RepriseError `key-missing`, `tool-missing`
 */
export async function readingArgv(context: ReadContext, file: SealedFile, argv: readonly string[], howFar?: 'all' | 'beginning'): Promise<readonly string[]> {
  const path = context.storage.localPath(file.key);
  if (!file.encrypted) return [...argv, path];
  return decryptingArgv(await requireIdentity(context.policy.encryption, file.key), path, argv, howFar);
}

/**
 * Whether the key of this host opens an encrypted file; decrypts no more than its beginning. Asked before anything is
 * changed, and before a failed reading is taken for damage.
 * @throws RepriseError `key-missing`, `backup-corrupt`
 */
export async function checkKey(context: ReadContext, file: SealedFile): Promise<void> {
  if (!file.encrypted) return;
  await inTermsOfAge(runTool(await readingArgv(context, file, ['head', '--bytes=1'], 'beginning'), asJobs(context)));
}

/** A small file of a backup, decrypted in memory only. Throws `key-missing`, `backup-corrupt`. */
export async function readSealed(context: ReadContext, file: SealedFile): Promise<string> {
  if (!file.encrypted) return (await context.storage.read(file.key)).toString('utf8');
  return (await inTermsOfAge(runTool(await readingArgv(context, file, ['cat']), asJobs(context)))).stdout;
}

const asJobs = ({ user, signal }: Pick<ReadContext, 'user' | 'signal'>): RunToolOptions => ({ user, signal });
