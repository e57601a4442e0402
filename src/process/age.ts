/**
 * Commands around the tool `age`: what a program writes is encrypted on its way to the file, and what it reads is
 * decrypted on its way from it, by a pipe. So plain text never lies on a disk, there is nothing to clear up after a
 * crash, and a person with a shell and a key can do the same by hand.
 *
 * Each is one fixed script with arguments, so that it can be a job; its exit code speaks for both sides of the pipe.
 */
import { readFile, stat } from 'node:fs/promises';
import { isAgeRecipient } from '../domain/age.js';
import type { EncryptionConfig } from '../domain/config.js';
import { RepriseError } from '../domain/errors.js';
import { requireProgram } from './binaries.js';

export const INSTALL_AGE = 'apt-get install age';
/** Exit code of a reading command whose input could not be decrypted; PostgreSQL's programs use 0, 1 and 2. */
export const NOT_DECRYPTED = 3;

const WRITE = `
set -o pipefail
age=$1 words=$2
shift 2
how=("\${@:1:words}")
shift "$words"
"$@" | "$age" --encrypt "\${how[@]}"
`;

// An identity by command goes from the command to age by a file descriptor: no file, argument or variable holds it.
const DECRYPT = `
age=$1 input=$2 kind=$3 words=$4
shift 4
identity=("\${@:1:words}")
shift "$words"
decrypt() {
  if [ "$kind" = file ]; then
    "$age" --decrypt --identity "\${identity[0]}" "$input"
  else
    "$age" --decrypt --identity <("\${identity[@]}" </dev/null) "$input"
  fi
}
`;

// Programs stop reading where their own format ends. The rest is read too: only at its end does age say that all of it
// was authentic. A program that was killed is told at once.
const READ_ALL = `${DECRYPT}
decrypt | {
  "$@"
  code=$?
  [ "$code" -gt 1 ] || cat >/dev/null
  exit "$code"
}
codes=("\${PIPESTATUS[@]}")
[ "\${codes[1]}" -le 1 ] || exit "\${codes[1]}"
[ "\${codes[0]}" -le 128 ] || exit "\${codes[0]}"
[ "\${codes[0]}" -eq 0 ] || exit ${NOT_DECRYPTED}
exit "\${codes[1]}"
`;

// The reader may go before the end: 141 is age's SIGPIPE.
const READ_BEGINNING = `${DECRYPT}
decrypt | "$@"
codes=("\${PIPESTATUS[@]}")
[ "\${codes[0]}" -eq 0 ] || [ "\${codes[0]}" -eq 141 ] || exit ${NOT_DECRYPTED}
exit "\${codes[1]}"
`;

/** The command whose output goes encrypted into a file; absent: as text to stdout. Throws `tool-missing`. */
export async function encryptingArgv(recipients: readonly string[], argv: readonly string[], output?: string): Promise<readonly string[]> {
  const words = [...recipients.flatMap((recipient) => ['--recipient', recipient]), ...(output === undefined ? ['--armor'] : ['--output', output])];
  return ['/bin/bash', '-c', WRITE, 'encrypt', await requireAge(), String(words.length), ...words, ...argv];
}

/**
 * The command that reads a decrypted file (`-`: what comes by stdin) from its stdin, to the end, or only as far as it
 * wants.
 * @throws RepriseError `tool-missing`
 */
export async function decryptingArgv(
  identity: NonNullable<EncryptionConfig['identity']>,
  input: string,
  argv: readonly string[],
  howFar: 'all' | 'beginning' = 'all',
): Promise<readonly string[]> {
  const [kind, words] = 'file' in identity ? ['file', [identity.file]] : ['command', identity.command];
  const script = howFar === 'all' ? READ_ALL : READ_BEGINNING;
  return ['/bin/bash', '-c', script, 'decrypt', await requireAge(), input, kind, String(words.length), ...words, ...argv];
}

/** Path of age. Throws `tool-missing` with the command that installs it. */
export async function requireAge(): Promise<string> {
  return requireProgram('age').catch(() => {
    throw new RepriseError('tool-missing', 'age, which encrypts backups, was not found on this host', INSTALL_AGE);
  });
}

/**
 * Everybody for whom something is encrypted: those the config names, and those of its file.
 * @throws RepriseError `config-invalid` where the file cannot be read, or a line of it is no public key; it is not repeated
 */
export async function recipientsOf({ recipients, recipientsFile }: EncryptionConfig): Promise<readonly string[]> {
  if (recipientsFile === undefined) return recipients;
  const text = await readFile(recipientsFile, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new RepriseError('config-invalid', `the recipients file ${recipientsFile} cannot be read: ${error.code ?? 'unreadable'}`, 'check encryption.recipients_file and its rights');
  });
  const found = text.split(/\r?\n/).flatMap((line, index) => {
    const recipient = line.trim();
    if (recipient === '' || recipient.startsWith('#')) return [];
    if (isAgeRecipient(recipient)) return [recipient];
    throw new RepriseError('config-invalid', `${recipientsFile}:${index + 1}: this is no public key of age`, 'one age1... a line, as age-keygen -y prints it');
  });
  const all = [...new Set([...recipients, ...found])];
  if (all.length > 0) return all;
  throw new RepriseError('config-invalid', `the recipients file ${recipientsFile} names nobody`, 'write a public key (age1...) into it');
}

/**
 * The private key of this host, by reference.
 * @throws RepriseError `key-missing` where the config names none, or its file is missing or open to others
 */
export async function requireIdentity(encryption: EncryptionConfig | undefined, what: string): Promise<NonNullable<EncryptionConfig['identity']>> {
  const identity = encryption?.identity;
  if (identity === undefined) {
    throw new RepriseError('key-missing', `${what} is encrypted, and this host has no key to read it`, 'name one under encryption.identity of the policy; by hand: docs/encryption.md');
  }
  if ('file' in identity) {
    const { file } = identity;
    const found = await stat(file).catch(() => null);
    if (found === null) throw new RepriseError('key-missing', `the key file ${file} is not there`, 'put the key back from where it is kept, or correct encryption.identity');
    if ((found.mode & 0o077) !== 0) throw new RepriseError('key-missing', `the key file ${file} can be read by others`, `chmod 600 ${file}, and make a new key if it mattered`);
  }
  return identity;
}
