import { createHash } from 'node:crypto';
import { cutLinesOf } from '../../../files/tail.js';
import { withoutValues } from '../../../process/exec/tool-rules.js';

/** What the complaints of a pg_restore that exited 1 come to. */
export interface ClassifiedComplaints {
  /** Harmless complaints, each with the rule that accepts it. */
  readonly accepted: readonly string[];
  /** Why the restore is not accepted, without row values; empty where it is. */
  readonly refused: readonly string[];
  /** What pg_restore says itself: the message of an ERROR is whatever code in the dump has raised. */
  readonly ownErrors: string;
  /** Something is not found by its name: functions may need the `search_path` of their database, and `pg_restore` sets none. */
  readonly missingNames: boolean;
  /**
   * Every refused complaint is an error that the server gave to one statement, and all else was restored: a person may look at them
   * and accept them. Empty where that is not so. Where they are many, the last one tells the hash of all.
   */
  readonly errors: readonly string[];
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
  {
    rule: 'a materialized view holds no data of its own, and REFRESH MATERIALIZED VIEW fills it at any time',
    message: /^could not execute query: ERROR: /,
    command: /^REFRESH MATERIALIZED VIEW [^;]*;$/s,
  },
];
const MISSING_NAME =
  /ERROR: +(?:function|relation|type|operator|schema|collation|aggregate|procedure|text search \w+) [^\n]{0,500} does not exist/;

/** The server has refused one statement, or the rows of one table. All else that pg_restore complains of may be damage to the dump. */
const OF_STATEMENT = /^(?:could not execute query|COPY failed for table "[^\n]{1,200}"): ERROR: /;

/** More of a line or of a command says nothing: what is accepted is short. */
const MOST_CHARACTERS = 16_384;
/** Of what is not accepted so many are remembered; the others are counted. */
const MOST_REFUSED = 100;
const MOST_ACCEPTED = 1_000;

/**
 * Classifies each complaint in what pg_restore printed, however long that is. The number it gives at its end must be the number
 * found here: a name with a newline can make a line that looks like a complaint, and so can only make the restore fail, not pass.
 */
export async function complaintsIn(path: string): Promise<ClassifiedComplaints> {
  const reader = new ComplaintReader();
  for await (const line of cutLinesOf(path, MOST_CHARACTERS)) reader.take(line);
  return reader.classified();
}

/** The same of a text. */
export function classifyComplaints(stderr: string): ClassifiedComplaints {
  const reader = new ComplaintReader();
  for (const line of stderr.split('\n')) reader.take(line);
  return reader.classified();
}

/**
 * What pg_restore begins a line with, in pieces: those of parallel jobs come between each other, so that a line has several of them
 * or none. A message itself is written in one piece.
 */
const PREFIXES = /^(?:pg_restore:|error:|warning:| )+/;

/** What pg_restore says of its work while jobs run beside each other: its prefix may have gone into the line before. */
const OF_WORK =
  /^(?:(?:launching|finished|skipping|processing|processing missed) item \d+ |finished main parallel loop$|while PROCESSING TOC:$|from TOC entry \d+; |reducing dependencies for \d+$|transferring dependency \d+ -> \d+ to \d+$)/;

/** Reads pg_restore's stderr: an error runs until the next line that pg_restore itself begins. */
class ComplaintReader {
  private entry: string | null = null;
  private current: { message: string; command: string | null } | null = null;
  private complaints = 0;
  /** Of them, those of parallel jobs. */
  private ofJobs = 0;
  private isParallel = false;
  private ignored = Number.NaN;
  private moreRefused = 0;
  private readonly accepted: string[] = [];
  private readonly refused: string[] = [];
  private readonly own: string[] = [];
  private missingNames = false;
  private ofStatements = true;
  private readonly allRefused = createHash('sha256');

  take(line: string): void {
    const said = line.replace(PREFIXES, '');
    const prefix = line.slice(0, line.length - said.length);
    const ofWork = this.isParallel && OF_WORK.test(said);
    const isOfError = prefix.includes('pg_restore:') && prefix.includes('error:');
    const error = !ofWork && (isOfError || OF_STATEMENT.test(said));
    if (!error && !ofWork && !prefix.includes('pg_restore:')) return this.takeMore(line);
    this.finish();
    if (error) this.current = { message: said, command: null };
    const [, entry, ignored] = /^(?:from TOC entry (.*)|errors ignored on restore: (\d+))$/.exec(said) ?? [];
    if (entry !== undefined) this.entry = entry;
    if (ignored !== undefined) this.ignored = Number(ignored);
    if (said === 'entering main parallel loop') this.isParallel = true;
  }

  classified(): ClassifiedComplaints {
    this.finish();
    const { accepted, complaints, ofJobs, ignored, moreRefused } = this;
    const refused = moreRefused === 0 ? this.refused : [...this.refused, `and ${moreRefused} more`];
    const isWhole = isCountOf(ignored, complaints, ofJobs);
    if (!isWhole && refused.length === 0)
      refused.push(
        `pg_restore counts ${Number.isNaN(ignored) ? 'no' : ignored} ignored errors where ${complaints} were read`,
      );
    const errors = isWhole && this.ofStatements ? this.errors() : [];
    return { accepted, refused, ownErrors: this.own.join('\n'), missingNames: this.missingNames, errors };
  }

  private errors(): readonly string[] {
    if (this.moreRefused === 0) return this.refused;
    const hash = this.allRefused.copy().digest('hex');
    return [
      ...this.refused,
      `and ${this.moreRefused} more, in the job records of this host (SHA-256 of all errors: ${hash})`,
    ];
  }

  private takeMore(line: string): void {
    if (this.current === null) return;
    const { command } = this.current;
    if (command !== null) {
      if (command.length < MOST_CHARACTERS) this.current.command = `${command}\n${line}`;
    } else if (line.startsWith('Command was: ')) this.current.command = line.slice('Command was: '.length);
  }

  private finish(): void {
    if (this.current === null) return;
    const { message } = this.current;
    const command = this.current.command?.trim() ?? '';
    this.current = null;
    this.complaints++;
    if (this.isParallel) this.ofJobs++;
    this.missingNames ||= MISSING_NAME.test(message);
    if (!message.includes('ERROR:  ') && this.own.length < MOST_REFUSED) this.own.push(`pg_restore: error: ${message}`);
    const rule = harmless.find((one) => one.message.test(message) && one.command.test(command));
    if (rule !== undefined) {
      if (this.accepted.length < MOST_ACCEPTED) this.accepted.push(`${withoutValues(message)} (${rule.rule})`);
    } else this.refuse(message);
  }

  private refuse(message: string): void {
    const text = `${this.entry ?? 'no entry named'}: ${withoutValues(message)}`;
    this.ofStatements &&= OF_STATEMENT.test(message);
    this.allRefused.update(`${text}\n`);
    if (this.refused.length < MOST_REFUSED) this.refused.push(text);
    else this.moreRefused++;
  }
}

/**
 * Whether pg_restore's number can be that of these complaints. Of its parallel jobs each one counts for one, and once more for every
 * complaint that the same process has had until then.
 */
function isCountOf(ignored: number, complaints: number, ofJobs: number): boolean {
  const others = complaints - ofJobs;
  return ignored >= others + 2 * ofJobs && ignored <= others + (ofJobs * (ofJobs + 3)) / 2;
}
