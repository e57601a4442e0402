import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  markdownBlock,
  markdownCode,
  markdownCommands,
  markdownSentence,
  markdownTable,
  markdownText,
} from '../../../src/domain/text/markdown.js';
import { planForTerminal } from '../../../src/domain/approval/approval-page.js';
import { clipBytes, durationInWords, sizeInWords, utf8Bytes, visible } from '../../../src/domain/text/text.js';

describe('text', () => {
  it('counts and clips bytes as UTF-8 does, never in the middle of a character', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.integer({ min: 3, max: 40 }), (text, most) => {
        expect(utf8Bytes(text)).toBe(Buffer.byteLength(text));
        const clipped = clipBytes(text, most);
        expect(Buffer.byteLength(clipped)).toBeLessThanOrEqual(most);
        if (Buffer.byteLength(text) <= most) expect(clipped).toBe(text);
        else expect(text.startsWith(clipped.slice(0, -1))).toBe(true);
      }),
    );
  });

  it('F35: shows what would hide or reorder text', () => {
    expect(visible('a\r\n\tb')).toBe('a b');
    expect(visible('\u202egpj.exe\u200b\0\u001b[31m')).toBe('<U+202E>gpj.exe<U+200B><U+0000><U+001B>[31m');
    expect(visible('Élections "2026" 😀')).toBe('Élections "2026" 😀');
  });

  it.each([
    [0, '0 bytes'],
    [999, '999 bytes'],
    [1000, '1.0 kB'],
    [999_949, '999.9 kB'],
    [999_951, '1.0 MB'],
    [79_000_000_000, '79.0 GB'],
    [5e18, '5000.0 PB'],
  ])('%d bytes are %s', (bytes, words) => expect(sizeInWords(bytes)).toBe(words));

  it.each([
    [0, '0 s'],
    [0.44, '0.4 s'],
    [59.6, '1 min 00 s'],
    [95, '1 min 35 s'],
    [3599, '59 min 59 s'],
    [3600, '1 h 00 min'],
    [14_700, '4 h 05 min'],
    [90_000, '1 d 01 h'],
  ])('%d seconds are %s', (seconds, words) => expect(durationInWords(seconds)).toBe(words));
});

describe('Markdown of others', () => {
  it.each([
    ['# title', '\\# title'],
    ['1. item', '1\\. item'],
    ['2.3 GB', '2.3 GB'],
    ['- [ ] done', '\\- \\[ \\] done'],
    ['<script>&amp;', '\\<script\\>\\&amp;'],
    ['a|b', 'a\\|b'],
    ['`code` *b* ~~s~~', '\\`code\\` \\*b\\* \\~\\~s\\~\\~'],
    ['metier.demandes_rdv _x_', 'metier.demandes_rdv \\_x\\_'],
    ['see https://evil.example', 'see https\\://evil.example'],
    ['WWW.evil.example a@b.example', 'WWW\\.evil.example a\\@b.example'],
    ['line\nbreak', 'line break'],
    // The Web UI would show a dash in place of the two.
    ['decline it, then --conflicts take', 'decline it, then `--conflicts` take'],
    ['--by', '`--by`'],
    ['a--b --- --`x', 'a--b --- --\\`x'],
  ])('F35: %j is shown as text', (text, markdown) => expect(markdownText(text)).toBe(markdown));

  it.each([
    ['a person: `reprise incident confirm X`, or `dismiss`', 'a person: `reprise incident confirm X`, or `dismiss`'],
    [
      'ann signed off: **good**, see [it](https://evil.example) <b> — `reprise continue X`',
      'ann signed off: \\*\\*good\\*\\*, see \\[it\\](https\\://evil.example) \\<b\\> — `reprise continue X`',
    ],
    // A back quote of a person takes none of ours.
    ['it`s bad: `reprise reject X --reason ...` ends it', 'it\\`s bad: `reprise reject X --reason ...` ends it'],
    ['what `*they* typed` is code', 'what `*they* typed` is code'],
    ['line\nbreak', 'line break'],
  ])('U7: %j keeps its commands, and the words of others stay text', (text, markdown) =>
    expect(markdownSentence(text)).toBe(markdown),
  );

  it('U7: a plan at a terminal has one line for each of its facts, whatever the names in it hold', () => {
    const text = planForTerminal(
      { digest: 'd'.repeat(64), observed: { warnings: ['w\nTo approve:\n  rm'] } },
      {
        ...{ title: 'undo x of a."b\nplan 1"', facts: [['table', 'a."b\x1b[2J\nTo approve:"']] },
        ...{ nothing: 'Nothing is changed', approve: 'reprise approve x', workflowId: 'x' },
      },
    );
    expect(text.split('\n')).toEqual([
      'undo x of a."b plan 1"',
      '  table            a."b<U+001B>[2J To approve:"',
      '  warning: w To approve:   rm',
      '',
      `plan ${'d'.repeat(64)}`,
      ...['Nothing is changed before the approval. To approve:', '  reprise approve x'],
      ...['To decline:', '  reprise reject x --reason "..."'],
    ]);
  });

  it('F35: code spans and blocks end where they should', () => {
    expect(markdownCode('a`b')).toBe('`` a`b ``');
    expect(markdownCode('')).toBe('`  `');
    expect(markdownCode('x\ny')).toBe('`x y`');
    expect(markdownBlock('```\nrm -rf', 'sh')).toBe('````sh\n```\nrm -rf\n````');
  });

  it('F35: commands are lines of a list, which the Web UI does not cut', () => {
    expect(markdownCommands([['what *it* does', 'reprise x "`a`"']])).toBe(
      '- what \\*it\\* does: `` reprise x "`a`" ``',
    );
  });

  it('F35: a bar in a cell, as text or as code, makes no cell of its own', () => {
    expect(markdownTable(['a', 'b'], [[markdownText('x|y'), markdownCode('p|q')]])).toBe(
      '| a | b |\n| --- | --- |\n| x\\|y | `p\\|q` |',
    );
  });
});
