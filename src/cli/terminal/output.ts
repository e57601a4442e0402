import { InvalidArgumentError } from 'commander';
import { visibleJson, visibleLines } from '../../domain/text/text.js';
import type { Terminal } from './terminal.js';

export type OutputFormat = 'table' | 'json' | 'yaml';
const formats: readonly OutputFormat[] = ['table', 'json', 'yaml'];

export function parseFormat(text: string): OutputFormat {
  const found = formats.find((format) => format === text);
  if (found === undefined) throw new InvalidArgumentError(`It is one of: ${formats.join(', ')}.`);
  return found;
}

/**
 * What the command line asks for, found before it is parsed: an error in parsing is printed in that format too.
 */
export function formatFromArgv(argv: readonly string[]): OutputFormat {
  let format: OutputFormat = 'table';
  const end = argv.indexOf('--');
  const words = end < 0 ? argv : argv.slice(0, end);
  words.forEach((word, index) => {
    const value = word === '-o' || word === '--output' ? words[index + 1] : /^(?:-o=?|--output=)(\w+)$/.exec(word)?.[1];
    if (word === '--json') format = 'json';
    else if (value === 'json' || value === 'yaml' || value === 'table') format = value;
  });
  return format;
}

/**
 * Prints a command's one result on stdout, or with `stream` one of many (`watch`): a line of JSON, a YAML document, or
 * text.
 */
export async function printResult<T extends object>(
  terminal: Terminal,
  format: OutputFormat,
  document: T,
  human: (document: T) => string,
  { stream = false } = {},
): Promise<void> {
  const whole = { schemaVersion: 1, ...document };
  if (format === 'json') terminal.out(`${visibleJson(JSON.stringify(whole, null, stream ? undefined : 2))}\n`);
  else if (format === 'yaml') terminal.out(`${stream ? '---\n' : ''}${await yamlText(whole)}`);
  else terminal.out(visibleLines(ended(human(document))));
}

/** YAML, in which what is not seen stands by its escape, as in JSON. */
export async function yamlText(value: object): Promise<string> {
  const { Document, visit } = await import('yaml');
  const document = new Document(value);
  visit(document, {
    Scalar: (_key, scalar) => {
      const text = scalar.value;
      // Only there an escape is one.
      if (typeof text === 'string' && visibleLines(text) !== text) scalar.type = 'QUOTE_DOUBLE';
    },
  });
  return visibleJson(document.toString());
}

function ended(text: string): string {
  return text.endsWith('\n') || text === '' ? text : `${text}\n`;
}
