/**
 * Commands around the tool `age`: what a program writes is encrypted on its way to the file, and what it reads is
 * decrypted on its way from it, by a pipe. So plain text is never on a disk, there is nothing to clear up after a
 * crash, and a person with a shell and a key can do the same by hand.
 *
 * Each is one fixed script with arguments, so that it can be a job; its exit code speaks for both sides of the pipe.
 */
import type { EncryptionConfig } from '../../domain/config.js';
import { isRepriseError, RepriseError } from '../../domain/errors.js';
import { requireProgram } from '../exec/find-programs.js';
import type { ProgramResult } from '../exec/run-program.js';
import type { ToolRule } from '../exec/tool-rules.js';
import { meaningOf } from '../exec/tool-rules.js';

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
export async function encryptingArgv(
  recipients: readonly string[],
  argv: readonly string[],
  output?: string,
): Promise<readonly string[]> {
  const words = [
    ...recipients.flatMap((recipient) => ['--recipient', recipient]),
    ...(output === undefined ? ['--armor'] : ['--output', output]),
  ];
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
  return [
    '/bin/bash',
    '-c',
    script,
    'decrypt',
    await requireAge(),
    input,
    kind,
    String(words.length),
    ...words,
    ...argv,
  ];
}

/** Path of age. Throws `tool-missing` with the command that installs it. */
async function requireAge(): Promise<string> {
  return requireProgram('age').catch(() => {
    throw new RepriseError(
      'tool-missing',
      'age, which encrypts backups, was not found on this host',
      'apt-get install age',
    );
  });
}

/** What age 1.1 complains of. Its own words for a malformed key tell something of it: only what is named is repeated. */
export const ageRules: readonly ToolRule[] = [
  {
    pattern: /^age: error: no identity matched/m,
    code: 'key-missing',
    message: 'the backup is not encrypted for the key of this host',
    hint: 'name the private key of one of its recipients under encryption.identity; the manifest beside the dump (*.json) names them',
    repeats: null,
  },
  {
    pattern: /^age: error: could not read passphrase/m,
    code: 'key-missing',
    message: 'the key of this host is protected by a passphrase, which cannot be entered here',
    hint: 'use a key without one, owner-only, or encryption.identity.command that unlocks it',
    repeats: null,
  },
  {
    pattern: /^age: error: (reading "|malformed secret key)/m,
    code: 'key-missing',
    message: 'the key of this host could not be read',
    hint: "see encryption.identity: the file must be a key of age-keygen that the job's user may read; the command must print one",
    repeats: /permission denied|no such file or directory|no secret keys found|unknown identity type/,
  },
  {
    pattern: /^age: error: (failed to decrypt and authenticate|failed to read header|parsing)/m,
    code: 'backup-corrupt',
    message: 'the encrypted file is damaged, or was changed',
    hint: 'choose another backup with recover --to backup:ID',
    repeats: null,
  },
];

/** A short run of age whose failure is told as what it means. */
export async function inTermsOfAge(running: Promise<ProgramResult>): Promise<ProgramResult> {
  try {
    return await running;
  } catch (error) {
    const stderr = isRepriseError(error) ? error.details['stderrTail'] : undefined;
    if (typeof stderr !== 'string') throw error;
    const failed = { name: 'age', exitCode: null, output: stderr };
    throw meaningOf({ rules: ageRules, errorLine: () => '' }, failed) ?? error;
  }
}
