import { visible } from './text.js';

/** Text that Markdown shows as it stands, whoever wrote it: no markup, no HTML, no link, no table cell of its own. */
export function markdownText(text: string): string {
  return (
    visible(text)
      .replace(/[\\`*[\]<>|~&]/g, '\\$&')
      // An underscore inside a word, as in most names, is no markup.
      .replace(/(?<![\p{L}\p{N}])_|_(?![\p{L}\p{N}])/gu, '\\_')
      // Bare addresses become links: only ours may.
      .replace(/:\/\//g, '\\://')
      .replace(/\bwww\./gi, (found) => `${found.slice(0, -1)}\\.`)
      .replace(/@/g, '\\@')
      // The Web UI makes one dash of two: an option is shown as it is typed.
      .replace(/(?<![\p{L}\p{N}-])--[a-z][a-z-]*/gu, '`$&`')
      // What would make a heading, a list or a rule of the beginning.
      .replace(/^( *)([#+=-])/, '$1\\$2')
      .replace(/^( *\d+)(?=[.)](\s|$))/, '$1\\')
  );
}

/** A command of ours in back quotes; and, in what is left, anything between two of them. */
const COMMANDS = [/(`(?:reprise|temporal) [^`]*`)/, /(`[^`]+`)/] as const;

/**
 * A sentence of ours with the words of others in it (an error, a reason, a name): what stands in back quotes, as commands do, is shown as
 * code, and everything else as it stands.
 */
export function markdownSentence(text: string): string {
  return inParts(visible(text), COMMANDS);
}

function inParts(text: string, [pattern, ...others]: readonly RegExp[]): string {
  if (pattern === undefined) return markdownText(text);
  const parts = text.split(pattern);
  return parts
    .map((part, index) => (index % 2 === 1 ? markdownCode(part.slice(1, -1)) : inParts(part, others)))
    .join('');
}

/** A name or a command in a code span. */
export function markdownCode(text: string): string {
  const shown = visible(text);
  const longest = Math.max(0, ...[...shown.matchAll(/`+/g)].map(([run]) => run.length));
  const fence = '`'.repeat(longest + 1);
  const padding = longest > 0 || shown.trim() === '' ? ' ' : '';
  return `${fence}${padding}${shown}${padding}${fence}`;
}

/** A fenced block, whose content nothing in it can end. */
export function markdownBlock(content: string, language = ''): string {
  const longest = Math.max(2, ...[...content.matchAll(/`+/g)].map(([run]) => run.length));
  const fence = '`'.repeat(longest + 1);
  return `${fence}${language}\n${content}\n${fence}`;
}

/** Commands to type, each after what it does. In lines of a list: the Web UI's column is narrow, and cuts the lines of a block. */
export function markdownCommands(commands: readonly (readonly [what: string, command: string])[]): string {
  return commands.map(([what, command]) => `- ${markdownText(what)}: ${markdownCode(command)}`).join('\n');
}

/** A table of cells that are Markdown already. A bar ends a cell even inside a code span, so it is escaped here. */
export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replace(/(?<!\\)\|/g, '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}
