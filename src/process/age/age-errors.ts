import { isRepriseError, RepriseError } from '../../domain/errors.js';
import type { ProgramResult } from '../exec/run-program.js';
import type { ToolRule } from '../exec/tool-rules.js';
import { ruleFor } from '../exec/tool-rules.js';

interface Rule extends ToolRule {
  /** Reasons that may be repeated; age's own words for a malformed key tell something of it (F39). */
  readonly why?: RegExp;
}

/** What age 1.1 complains of. */
const rules: readonly Rule[] = [
  {
    says: /^age: error: no identity matched/m,
    code: 'key-missing',
    message: 'the key of this host is none of those for which the backup is encrypted',
    hint: 'name the private key of one of its recipients under encryption.identity; the manifest beside the dump (*.json) names them',
  },
  {
    says: /^age: error: could not read passphrase/m,
    code: 'key-missing',
    message: 'the key of this host is locked by a passphrase, and nobody is there to type it',
    hint: 'use a key without one, owner-only, or encryption.identity.command that unlocks it',
  },
  {
    says: /^age: error: (reading "|malformed secret key)/m,
    code: 'key-missing',
    message: 'the key of this host could not be read',
    hint: "see encryption.identity: the file must be a key of age-keygen that the job's user may read; the command must print one",
    why: /permission denied|no such file or directory|no secret keys found|unknown identity type/,
  },
  {
    says: /^age: error: (failed to decrypt and authenticate|failed to read header|parsing)/m,
    code: 'backup-corrupt',
    message: 'the encrypted file is damaged, or was changed',
    hint: 'choose another backup with recover --to backup:ID',
  },
];

/** What age meant, from the end of a stderr that it shares with the other side of its pipe; null where it said nothing known. */
export function ageError(stderr: string): RepriseError | null {
  const rule = ruleFor(rules, stderr);
  if (rule === undefined) return null;
  const why = rule.why?.exec(stderr)?.[0];
  return new RepriseError(rule.code, `${rule.message}${why === undefined ? '' : `: ${why}`}`, rule.hint);
}

/** A short run of age whose failure is told as what it meant. */
export async function inTermsOfAge(running: Promise<ProgramResult>): Promise<ProgramResult> {
  try {
    return await running;
  } catch (error) {
    const stderr = isRepriseError(error) ? error.details['stderrTail'] : undefined;
    throw (typeof stderr === 'string' ? ageError(stderr) : null) ?? error;
  }
}
