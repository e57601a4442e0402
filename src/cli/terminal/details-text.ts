import { type Screen, wrapped } from './tables.js';

/** Parts that `status` has elsewhere, or that are for the Web UI alone. */
const LEFT_OUT = /^(?:\*\*(?:State|Waiting for|To decide on this page|Steps so far):\*\*|```)/;
/** After what is for the Web UI. */
const OR_TYPE = /^\*\*Or type:\*\*$/;
/** Where the steps begin, whose list is a part of its own. */
const STEPS = '**Steps so far:**';

/** What the Web UI shows of a workflow (Markdown), for a terminal. */
export function detailsText(markdown: string, { columns = Infinity }: Screen): string {
  const [shown = ''] = markdown.split(STEPS);
  return shown
    .split(/\n{2,}/)
    .map((part) => part.trim().replace(OR_TYPE, '**To decide:**'))
    .filter((part) => part !== '' && !LEFT_OUT.test(part))
    .map((part) =>
      part
        .split('\n')
        .flatMap((line) => wrapped(withoutMarkup(line), columns))
        .join('\n'),
    )
    .join('\n\n');
}

/** A code span stays as it is: nothing in it is markup. */
function withoutMarkup(line: string): string {
  return line
    .split(/((?<!\\)`+[^`]+`+)/)
    .map((part, index) =>
      index % 2 === 1
        ? part
        : part
            .replace(/^#+ /, '')
            .replace(/(?<!\\)\*\*/g, '')
            .replace(/\\([\\`*_[\]<>|~&:.@#+=-])/g, '$1'),
    )
    .join('');
}
