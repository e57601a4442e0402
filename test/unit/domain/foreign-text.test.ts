import { describe, expect, it } from '@jest/globals';
import { toRepriseError } from '../../../src/client/errors.js';
import { isPlainUrl } from '../../../src/domain/plain-address.js';
import { MOST_REDACTED, redact } from '../../../src/domain/text/redact.js';
import { visible, visibleJson, visibleLines } from '../../../src/domain/text/text.js';
import { withoutMarks } from '../../../src/engines/logical/restore/new-database.js';
import { splitStatements } from '../../../src/engines/logical/restore/globals-script.js';
import { LOGICAL_TOOLS } from '../../../src/engines/logical/tool-rules.js';
import { tailOfText } from '../../../src/files/tail.js';
import { splitList } from '../../../src/postgres/content/database-settings.js';
import { maskSecrets } from '../../../src/postgres/recovery/configuration-mask.js';
import { toolFailure } from '../../../src/process/exec/tool-rules.js';

/** What begins a rule's match and never ends it, and what may come between. */
const beginnings = [
  'Key (',
  'Key (a)=(',
  ')=(',
  'Partition key of the failing row contains (a) = (',
  'Failing row contains (',
  'COPY ',
  'COPY t, line 1',
  ', line 1, column ',
  ': "',
  'invalid input syntax for ',
  'value out of range',
  'malformed array literal: ',
  'value "',
  'JSON data, line 1',
  'a://b:',
  'a.b.c://',
  '://',
  '@',
  'password',
  "password='",
  'password="',
  "password '",
  'authorization ',
  'bearer ',
  '-----BEGIN ',
  '-----BEGIN A PRIVATE KEY-----',
  '-----END ',
  'SCRAM-SHA-256$',
  'AGE-SECRET-KEY-',
  'unsupported version ',
  'connection to server ',
  'HINT:',
  '[reprise:',
  "''",
  '""',
  '"',
  "'",
  '\\',
  ' ',
  ',',
  ';',
  '--',
  '.',
  '=',
  '\n',
];
const between = ['', ' ', '"', "'", ')=(', ': "', '\n', '=', 'x'];
const hostile = beginnings.flatMap((one) => between.map((other) => one + other));
const LENGTH = 100_000;
/** Everything here takes milliseconds; what is quadratic takes many seconds, what is cubic months. */
const MOST_MS = 2_000;

function timed(read: () => unknown): number {
  const began = performance.now();
  try {
    read();
  } catch {
    // A refusal is an answer too.
  }
  return performance.now() - began;
}

describe('U4: text that others choose is read in time that grows with its length', () => {
  const readers: readonly (readonly [string, (text: string) => unknown])[] = [
    ['redact', redact],
    ['the end of an output', tailOfText],
    ['a failure of pg_restore', (output) => toolFailure(LOGICAL_TOOLS, { name: 'pg_restore', exitCode: 1, output })],
    ['a failure with a hint', (message) => toRepriseError({ name: 'ApplicationFailure', type: 'internal', message })],
    ['the comment of a database', withoutMarks],
    ['a setting that is a list', splitList],
    ['roles and tablespaces', splitStatements],
    ['a configuration file', maskSecrets],
  ];
  it.each(readers)('%s', (_, read) => {
    const slow = hostile.filter((unit) => timed(() => read(unit.repeat(LENGTH / unit.length))) > MOST_MS);
    expect(slow).toEqual([]);
  });

  it('the message of a CHECK constraint of 200 kB is cut, and its row values stay hidden', () => {
    const message = `ERROR:  ${'Key (a)=('.repeat(30_000)}\nDETAIL:  Failing row contains (Dupont).`;
    expect(redact(message).length).toBeLessThanOrEqual(MOST_REDACTED);
    const end = tailOfText(`${message}\npg_restore: error: it ended`);
    expect(end).toContain('pg_restore: error: it ended');
    expect(end).not.toContain('Dupont');
    expect(tailOfText('x'.repeat(LENGTH))).toBe('(a line of more than 64 kB is left out)');
    // Not in the middle of a word: half an address with its password would not be known as one.
    expect(redact(`${'x'.repeat(MOST_REDACTED - 12)} postgres://u:s3cret@db/x`)).not.toContain('s3');
  });

  it.each([
    ['DETAIL:  Key (email)=(a@b.org) is duplicated.', 'DETAIL:  Key (email)=(***) is duplicated.'],
    [
      'DETAIL:  Key (a)=(1) conflicts with existing key (a)=(2).',
      'DETAIL:  Key (a)=(***) conflicts with existing key (a)=(***).',
    ],
    [
      'DETAIL:  Partition key of the failing row contains (nom) = (Dupont).',
      'DETAIL:  Partition key of the failing row contains (nom) = (***).',
    ],
    [
      'ERROR:  value "99999999999" is out of range for type integer',
      'ERROR:  value "***" is out of range for type integer',
    ],
    ['ERROR:  malformed array literal: "Dupont"', 'ERROR:  malformed array literal: "***"'],
    ['ERROR:  invalid input value for enum civilite: "Dupont"', 'ERROR:  invalid input value for enum civilite: "***"'],
    ['CONTEXT:  JSON data, line 1: {"nom": Dupont', 'CONTEXT:  JSON data, line 1: ***'],
    ['CONTEXT:  COPY t, line 1, column a: b: "Dupont"', 'CONTEXT:  COPY t, line 1, column a: b: "***"'],
    ['CONTEXT:  COPY t, line 1: "Dupont, never closed', 'CONTEXT:  COPY t, line 1: "***"'],
  ])('row values that were not known before: %s', (text, expected) => expect(redact(text)).toBe(expected));
});

describe('U7: characters that are not seen are shown by their number', () => {
  const all = [
    '\u061c',
    '\u00ad',
    '\u2065',
    '\u115f',
    '\u3164',
    '\u{e0041}',
    '\u{e0101}',
    '\u202e',
    '\u009b',
    '\ufff9',
  ];
  it.each(all)('%j', (character) => {
    const code = (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0');
    expect(visible(`a${character}b`)).toBe(`a<U+${code}>b`);
    expect(visibleLines(`a${character}\nb`)).toBe(`a<U+${code}>\nb`);
    const json = visibleJson(JSON.stringify({ [character]: character }));
    expect(json).toMatch(/^[ -~]*$/);
    expect(JSON.parse(json)).toEqual({ [character]: character });
  });

  it('every format character of Unicode', () => {
    for (let code = 0; code <= 0x10ffff; code++) {
      const character = String.fromCodePoint(code);
      if (/\p{Cf}/u.test(character)) expect(visible(character)).toMatch(/^<U\+/);
    }
  });

  it('letters, emoji and our own styles stay', () => {
    expect(visible('Élections ❤️ 選挙')).toBe('Élections ❤️ 選挙');
    expect(visibleLines('\u001b[31merror\u001b[39m\n\u001b[2J')).toBe('\u001b[31merror\u001b[39m\n<U+001B>[2J');
  });
});

it('U7: an address without TLS is told from one that is safe or on this machine', () => {
  const urls = [
    'http://s3.example.org',
    'http://10.0.0.1:9000',
    'http://127.0.0.1.example.org',
    'http://[2001:db8::1]/',
  ];
  expect(urls.filter(isPlainUrl)).toEqual(urls);
  const safe = ['https://s3.example.org', 'http://127.0.0.1:9000', 'http://localhost', 'http://[::1]:9000'];
  expect(safe.filter(isPlainUrl)).toEqual([]);
});
