import { randomBytes } from 'node:crypto';
import type { Encryption } from '../../domain/backup.js';
import { isRepriseError, RepriseError } from '../../domain/errors.js';
import { decryptingArgv, encryptingArgv, recipientsOf, requireIdentity } from '../../process/age.js';
import { runTool } from '../../process/run.js';
import type { RunToolOptions, ToolOutput } from '../../process/run.js';
import type { ReadContext } from '../engine.js';
import { toolError } from './dump-errors.js';

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

/**
 * Tries what the policy's encryption needs, on some random text: age is there, the public keys are good, and the key
 * of this host, if it has one, opens what they encrypt. Returns what is worth saying.
 * @throws RepriseError `tool-missing`, `config-invalid`, `key-missing`
 */
export async function tryEncryption(context: Pick<ReadContext, 'policy' | 'user' | 'signal'>): Promise<readonly string[]> {
  const encryption = await encryptionOf(context);
  if (encryption === null) return [];
  const text = randomBytes(16).toString('hex');
  const sealed = await inTermsOfAge(runTool(await encryptingArgv(encryption.recipients, ['echo', text]), asJobs(context)));
  if (context.policy.encryption?.identity === undefined) return ['this host has no key: what it writes can be read, proven and restored elsewhere only'];
  const identity = await requireIdentity(context.policy.encryption, 'what this policy writes');
  const opened = await inTermsOfAge(runTool(await decryptingArgv(identity, '-', ['cat']), { ...asJobs(context), input: sealed.stdout }));
  if (opened.stdout !== text) throw new RepriseError('key-missing', 'age gives back another text than it encrypted', 'see which program age is: age --version');
  return [];
}

const asJobs = ({ user, signal }: Pick<ReadContext, 'user' | 'signal'>): RunToolOptions => ({ user, signal });

async function inTermsOfAge(running: Promise<ToolOutput>): Promise<ToolOutput> {
  try {
    return await running;
  } catch (error) {
    const stderr = isRepriseError(error) ? error.details['stderrTail'] : undefined;
    throw typeof stderr === 'string' && stderr.includes('age: error:') ? toolError('age', stderr) : error;
  }
}
