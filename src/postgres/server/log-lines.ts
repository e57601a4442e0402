import type { Settings } from '../recovery/auto-conf.js';

/**
 * How a copy's server logs, whatever the copied cluster has set: in one form, in English, and without the statements of its sessions.
 * Roles and databases may have settings of their own all the same; {@link withoutStatements} leaves out what comes of them.
 */
export const plainLog: Settings = {
  log_line_prefix: '%m [%p] ',
  lc_messages: 'C',
  log_statement: 'none',
  log_min_duration_statement: '-1',
  log_min_error_statement: 'panic',
};

/** A message as {@link plainLog} has it; what follows in it stands behind a tab. */
const MESSAGE = /^\d{4}-\d\d-\d\d \S+ \S+ \[\d+\] (LOG|WARNING|ERROR|FATAL|PANIC|HINT|DETAIL|CONTEXT): {2}(.*)$/;
/** Messages that quote statements, their parameters or plans. */
const QUOTES = /^(?:statement|execute|parse|bind|duration|fastpath|plan|query|audit)\b/i;
/** Of what sessions did wrong these quote rows; of what the server itself says they are about its files and settings. */
const ABOUT: ReadonlySet<string> = new Set(['DETAIL', 'CONTEXT']);
const OF_SESSIONS: ReadonlySet<string> = new Set(['ERROR', 'WARNING']);

/**
 * A server's log without statements, their parameters, and the rows that messages quote: of each message its first line. What is no message
 * of the server, such as the output of a program that it ran, is left out too. How many lines are left out stands at the end.
 */
export function withoutStatements(log: string): string {
  const kept: string[] = [];
  let left = 0;
  let before = '';
  for (const line of log.split('\n').filter((one) => one !== '')) {
    const [, kind = '', text = ''] = MESSAGE.exec(line) ?? [];
    const about = ABOUT.has(kind) || kind === 'HINT';
    if (!about && kind !== '') before = QUOTES.test(text) ? '' : kind;
    if (kind !== '' && before !== '' && !(ABOUT.has(kind) && OF_SESSIONS.has(before))) kept.push(line);
    else left += 1;
  }
  if (left > 0) kept.push(`(${left} lines are left out here: statements, values, and output of programs)`);
  return kept.join('\n');
}
