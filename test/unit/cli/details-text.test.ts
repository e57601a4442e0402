import { expect, it } from '@jest/globals';
import { detailsText } from '../../../src/cli/terminal/details-text.js';
import { markdownCommands, markdownText } from '../../../src/domain/text/markdown.js';

it('K5, D6: what an incident found is shown at a terminal too, without markup and without what is for the Web UI', () => {
  const name = 'a "b"_*c* `d` <e> [f](http://g) \\ h';
  const markdown = [
    '**State:** suspected',
    '**Waiting for:** a person',
    '### A migration of shop went wrong',
    `- **${markdownText(name)}:** 20 before, 10 now\n- **public.newbie:** not there before, 0 now`,
    '**To decide on this page:** More Actions',
    '```json\n{\n  "by": "<your name>"\n}\n```',
    '**Or type:**',
    markdownCommands([['it is real', 'reprise incident confirm ID']]),
    '**To type next:**',
    markdownCommands([['the whole database', 'reprise recover mairie --database a__b\\c --to before-xid:7']]),
    '**Steps so far:**',
    '- find when the migration was: 0.4 s',
  ].join('\n\n');
  expect(detailsText(markdown, {}).split('\n')).toEqual([
    'A migration of shop went wrong',
    '',
    `- ${name}: 20 before, 10 now`,
    '- public.newbie: not there before, 0 now',
    '',
    'To decide:',
    '',
    '- it is real: `reprise incident confirm ID`',
    '',
    'To type next:',
    '',
    '- the whole database: `reprise recover mairie --database a__b\\c --to before-xid:7`',
  ]);
});
