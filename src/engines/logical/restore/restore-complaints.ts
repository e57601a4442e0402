import { withoutValues } from '../../../process/exec/tool-rules.js';

/** One complaint of pg_restore that it went on after. */
export interface RestoreComplaint {
  /** The entry of the dump's table of contents it was working on, where it said so. */
  readonly entry: string | null;
  readonly message: string;
  readonly command: string | null;
}

/** What the complaints of a pg_restore that exited 1 come to. */
export interface ClassifiedComplaints {
  /** Harmless complaints, each with the rule that accepts it. */
  readonly accepted: readonly string[];
  /** Why the restore is not accepted, without row values; empty where it is. */
  readonly refused: readonly string[];
}

interface Harmless {
  readonly rule: string;
  readonly message: RegExp;
  readonly command: RegExp;
}

/** The only complaints that are let pass. Whatever is not here fails the restore. */
const harmless: readonly Harmless[] = [
  {
    rule: 'every new database has the schema public already',
    message: /^could not execute query: ERROR: +schema "public" already exists$/,
    command: /^CREATE SCHEMA public;$/,
  },
  {
    rule: 'the comment of an extension belongs to its owner and comes with the extension',
    message: /^could not execute query: ERROR: +must be owner of extension \S+$/,
    command: /^COMMENT ON EXTENSION \S+ IS [^;]*;$/s,
  },
  {
    rule: 'the comment of the schema public belongs to its owner and comes with the database',
    message: /^could not execute query: ERROR: +must be owner of schema public$/,
    command: /^COMMENT ON SCHEMA public IS [^;]*;$/s,
  },
  {
    rule: 'a time-out that only newer servers know was to be switched off',
    message:
      /^could not execute query: ERROR: +unrecognized configuration parameter "(transaction_timeout|idle_in_transaction_session_timeout)"$/,
    command: /^SET (transaction_timeout|idle_in_transaction_session_timeout) = 0;$/,
  },
];

/**
 * Classifies each complaint. The number pg_restore gives at its end must be the number found here: a name with a
 * newline can make a line that looks like a complaint, and so can only make the restore fail, not pass.
 */
export function classifyComplaints(stderr: string): ClassifiedComplaints {
  const complaints = parseComplaints(stderr);
  const accepted: string[] = [];
  const refused: string[] = [];
  for (const complaint of complaints) {
    const rule = harmless.find(
      ({ message, command }) => message.test(complaint.message) && command.test(complaint.command ?? ''),
    );
    if (rule === undefined) refused.push(`${complaint.entry ?? 'no entry named'}: ${withoutValues(complaint.message)}`);
    else accepted.push(`${withoutValues(complaint.message)} (${rule.rule})`);
  }
  const ignored = Number(/^pg_restore: warning: errors ignored on restore: (\d+)$/m.exec(stderr)?.[1] ?? Number.NaN);
  if (ignored !== complaints.length && refused.length === 0) {
    refused.push(
      `pg_restore counts ${Number.isNaN(ignored) ? 'no' : ignored} ignored errors where ${complaints.length} were read`,
    );
  }
  return { accepted, refused };
}

/** Reads pg_restore's stderr: an error runs until the next line that pg_restore itself begins. */
function parseComplaints(stderr: string): readonly RestoreComplaint[] {
  const complaints: RestoreComplaint[] = [];
  let entry: string | null = null;
  let current: { message: string; command: string[] | null } | null = null;
  const finish = (): void => {
    if (current !== null)
      complaints.push({ entry, message: current.message, command: current.command?.join('\n').trim() ?? null });
    current = null;
  };
  for (const line of stderr.split('\n')) {
    const own = /^pg_restore: (from TOC entry (.*)|error: (.*)|.*)$/.exec(line);
    if (own !== null) {
      finish();
      if (own[2] !== undefined) entry = own[2];
      if (own[3] !== undefined) current = { message: own[3], command: null };
    } else if (current !== null) {
      takeLine(current, line);
    }
  }
  finish();
  return complaints;
}

function takeLine(current: { command: string[] | null }, line: string): void {
  if (current.command !== null) current.command.push(line);
  else if (line.startsWith('Command was: ')) current.command = [line.slice('Command was: '.length)];
}
