import { lstat, rm } from 'node:fs/promises';
import type { Encryption } from '../../domain/backup/backup.js';
import { isRepriseError } from '../../domain/errors.js';
import { inTermsOfAge, decryptingArgv, encryptingArgv } from '../../process/age/age.js';
import { recipientsOf, requireIdentity } from '../../process/age/age-keys.js';
import { runProgram } from '../../process/exec/run-program.js';
import type { RunProgramOptions, ProgramResult } from '../../process/exec/run-program.js';
import type { ReadContext } from '../engine.js';

/** What reading a file of a backup needs to know: where it is, and whether it is encrypted. */
export interface SealedFile {
  readonly key: string;
  readonly encrypted: boolean;
  /** Where its copy is, of a repository that has no paths. */
  readonly path?: string;
}

/** For whom the policy has its files encrypted now; null where it has not. Throws `config-invalid`. */
export async function encryptionOf({ policy }: Pick<ReadContext, 'policy'>): Promise<Encryption | null> {
  if (policy.encryption === undefined) return null;
  return { tool: 'age', recipients: await recipientsOf(policy.encryption) };
}

/**
 * The command that writes a file of the repository: the program itself by its `--file`, or its output through age, so
 * that plain text never gets there. Where the repository has no paths, the command prints what is to be uploaded.
 */
export async function writingArgv(
  context: ReadContext,
  encryption: Encryption | null,
  key: string,
  argv: readonly string[],
): Promise<readonly string[]> {
  if (!context.storage.capabilities.localPath)
    return encryption === null ? argv : encryptingArgv(encryption.recipients, argv, '-');
  const path = context.storage.localPath(key);
  await removeSecondName(path);
  return encryption === null ? [...argv, `--file=${path}`] : encryptingArgv(encryption.recipients, argv, path);
}

/** What a program overwrites is its own alone: a file that has another name too loses this one, and keeps its content. */
export async function removeSecondName(path: string): Promise<void> {
  const found = await lstat(path).catch(() => null);
  if (found?.isFile() === true && found.nlink > 1) await rm(path, { force: true });
}

/**
 * The command that has a program read a file: named as its last argument, or decrypted to its stdin.
 * @throws RepriseError `key-missing`, `tool-missing`
 */
export async function readingArgv(
  context: ReadContext,
  file: SealedFile,
  argv: readonly string[],
  howFar?: 'all' | 'beginning',
): Promise<readonly string[]> {
  const path = file.path ?? context.storage.localPath(file.key);
  if (!file.encrypted) return [...argv, path];
  return decryptingArgv(await requireIdentity(context.policy.encryption, file.key), path, argv, howFar);
}

/**
 * Runs a short program on a file of the repository, where that has no paths on what comes from it: no more is fetched
 * than the program reads.
 * @throws RepriseError `key-missing`, `tool-missing`, `tool-failed`, and what reading the repository throws
 */
export async function runOnFile(
  context: ReadContext,
  file: SealedFile,
  argv: readonly string[],
  howFar: 'all' | 'beginning',
  options: RunProgramOptions = {},
): Promise<ProgramResult> {
  const how = { user: context.user, signal: context.signal, ...options };
  if (file.path !== undefined || context.storage.capabilities.localPath)
    return runProgram(await readingArgv(context, file, argv, howFar), how);
  const onInput = file.encrypted
    ? await decryptingArgv(await requireIdentity(context.policy.encryption, file.key), '-', argv, howFar)
    : argv;
  const input = await context.storage.open(file.key);
  let broken: unknown;
  input.once('error', (error) => (broken = error));
  try {
    return await runProgram(onInput, { ...how, input });
  } catch (error) {
    // What the program says of an input that broke off says nothing of the file.
    context.signal.throwIfAborted();
    throw isRepriseError(broken) ? broken : error;
  } finally {
    input.destroy();
  }
}

/**
 * Whether the key of this host opens an encrypted file; decrypts no more than its beginning. Asked before anything is
 * changed, and before a failed reading is taken for damage.
 * @throws RepriseError `key-missing`, `backup-corrupt`
 */
export async function checkKey(context: ReadContext, file: SealedFile): Promise<void> {
  if (!file.encrypted) return;
  await inTermsOfAge(runOnFile(context, file, ['head', '--bytes=1'], 'beginning'));
}
