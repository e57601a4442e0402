import { CommanderError } from 'commander';
import { errorTable, RepriseError } from '../domain/errors.js';
import { withLocalTimes } from '../domain/target/instant.js';
import { shownZone } from './common-options.js';
import { visible, visibleJson } from '../domain/text/text.js';
import { toRepriseError } from '../client/errors.js';
import { type OutputFormat, yamlText } from './terminal/output.js';
import type { Terminal } from './terminal/terminal.js';

/** Ends the program with a code of another contract than ours; everything was printed already. */
export class QuietExit extends Error {
  constructor(readonly exitCode: number) {
    super(`exit ${exitCode}`);
  }
}

/** Prints an error on stderr and returns the exit code of the command line's contract. */
export async function reportError(terminal: Terminal, format: OutputFormat, error: unknown): Promise<number> {
  if (error instanceof CommanderError && error.exitCode === 0) return 0;
  if (error instanceof QuietExit) return error.exitCode;
  const failure = explained(error);
  const { code, message, hint } = failure;
  if (format === 'json')
    terminal.err(`${visibleJson(JSON.stringify({ error: { code, message, hint: hint ?? nextStep(code) } }))}\n`);
  else if (format === 'yaml') terminal.err(await yamlText({ error: { code, message, hint: hint ?? nextStep(code) } }));
  else terminal.err(asText(terminal, failure));
  if (terminal.env['REPRISE_DEBUG'] && error instanceof Error) terminal.err(`${error.stack ?? ''}\n`);
  return errorTable[code].exit;
}

/** Any error as an entry of the one error table. */
export function explained(error: unknown): RepriseError {
  return error instanceof CommanderError ? fromCommander(error) : (fromPrompt(error) ?? toRepriseError(error));
}

function asText(terminal: Terminal, { code, message, hint }: RepriseError): string {
  const zone = terminal.live ? shownZone() : undefined;
  const shown = (line: string): string => withLocalTimes(visible(line), zone);
  const lines = message.split('\n').map(shown);
  const first = `${terminal.paint('red', 'error', 'err')}: ${lines.join('\n       ')} (${code})`;
  const next = (hint ?? nextStep(code)).split('\n').map(shown).join('\n      ');
  return `${first}\n${terminal.paint('bold', 'HINT', 'err')}: ${next}\n`;
}

/** Every error ends in a next step, also one whose author gave none. */
function nextStep(code: RepriseError['code']): string {
  if (errorTable[code].exit === 4) return 'correct the file, then run `reprise config check`';
  if (code === 'not-found') return 'list what exists: `reprise backup list`, `reprise cluster list`, `reprise status`';
  return errorTable[code].retryable
    ? 'try again; `reprise doctor` says what is wrong on this machine'
    : 'see `reprise doctor` and `reprise status`';
}

/** Errors of parsing: usage, exit 2, with commander's own suggestion as the next step. */
function fromCommander(error: CommanderError): RepriseError {
  const [head = '', ...rest] = error.message.replace(/^error: /, '').split('\n');
  const suggestion = rest.map((line) => line.trim().replace(/^\(|\)$/g, '')).find((line) => line !== '');
  const command = (error as { command?: string }).command ?? 'reprise';
  const help = `see \`${command} --help\``;
  const hint = suggestion === undefined ? help : `${suggestion.charAt(0).toLowerCase()}${suggestion.slice(1)} ${help}`;
  const message = error.code === 'commander.help' ? `${command} needs a command` : head;
  return new RepriseError('usage', message, hint);
}

function fromPrompt(error: unknown): RepriseError | undefined {
  if (!(error instanceof Error) || error.name !== 'ExitPromptError') return undefined;
  return new RepriseError('interrupted', 'the question was not answered', 'nothing was changed; run the command again');
}
