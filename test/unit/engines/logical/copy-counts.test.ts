import { expect, it } from '@jest/globals';
import { rootsInArchive } from '../../../../src/engines/logical/archive/partitions.js';
import type { TocEntry } from '../../../../src/engines/logical/archive/toc.js';
import { CopyCounter } from '../../../../src/engines/logical/repository/copy-counter.js';
import { compareCounts, parseCounts } from '../../../../src/engines/logical/repository/count-dump.js';

/** As the counter of rows prints it; however the text is cut into chunks, it comes out the same. */
function count(lines: readonly string[]): ReturnType<typeof parseCounts> {
  const text = Buffer.from(`${lines.join('\n')}\n`);
  const outputs = [1, 2, 3, 7, text.length].map((size) => {
    const printed: string[] = [];
    const counter = new CopyCounter((rows, statement) =>
      printed.push(`${rows}\t${statement.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}`),
    );
    for (let at = 0; at < text.length; at += size) counter.push(text.subarray(at, at + size));
    const largeObjects = counter.end();
    return [...printed, ...(largeObjects === null ? [] : [`${largeObjects}\tLO`])].join('\n');
  });
  expect(new Set(outputs).size).toBe(1);
  return parseCounts('db', outputs[0] ?? '');
}
const table = (schema: string, name: string, rows: number) => ({ database: 'db', schema, table: name, rows });

it('F22: rows of every COPY are counted, and large objects', () => {
  const counts = count([
    '--',
    '-- Data for Name: a; Type: TABLE DATA',
    '--',
    '\\restrict abc',
    "SET client_encoding = 'UTF8';",
    'COPY public.a (x, y) FROM stdin;',
    '1\tone',
    '2\tCOPY public.b (x) FROM stdin;',
    '3\t\\\\.',
    '\\.',
    '',
    'COPY "We ""ird"."it\'s; dotted.name" ("col FROM stdin;") FROM stdin;',
    '\\.',
    '',
    "SELECT pg_catalog.setval('public.a_x_seq', 3, true);",
    "SELECT pg_catalog.lo_open('16391', 131072);",
    "SELECT pg_catalog.lowrite(0, '\\x00');",
    'SELECT pg_catalog.lo_close(0);',
    '\\unrestrict abc',
  ]);
  expect(counts).toEqual({
    tables: [table('public', 'a', 3), table('We "ird', "it's; dotted.name", 0)],
    largeObjects: 1,
  });
});

it('F35: names with newlines neither hide a table nor make one', () => {
  const counts = count([
    'COPY public."new',
    'COPY public.fake (x) FROM stdin;',
    'line" (x) FROM stdin;',
    '1',
    '\\.',
    'SELECT pg_catalog.setval(\'public."s',
    'COPY public.fake (x) FROM stdin;',
    '"\', 1, false);',
  ]);
  expect(counts.tables).toEqual([table('public', 'new\nCOPY public.fake (x) FROM stdin;\nline', 1)]);
});

it('F3: output that ends in the middle of a table is an error, not a count', () => {
  for (const cut of [
    ['COPY public.a (x) FROM stdin;', '1'],
    ["SELECT pg_catalog.lowrite(0, '\\x00"],
    ['COPY public.a (x)'],
  ])
    expect(() => count(cut)).toThrow('ended early');
  expect(() => parseCounts('db', '3\tCOPY public.a (x) FROM stdin;\n')).toThrow('ended early');
});

it('R4: rows of partitions are compared with their root, where the dump has them go there', () => {
  const definition = (text: string, kind = 'TABLE ATTACH') => ({ kind, definition: text }) as TocEntry;
  const rootOf = rootsInArchive({
    ...{ serverVersion: '15', toolVersion: '15', encoding: 'UTF8' },
    entries: [
      definition('ALTER TABLE ONLY m.h ATTACH PARTITION m."h ""0" FOR VALUES WITH (modulus 2, remainder 0);\n'),
      definition('ALTER TABLE ONLY m.h ATTACH PARTITION m.h1 FOR VALUES WITH (modulus 2, remainder 1);\n'),
      // As up to PostgreSQL 13: a part of the partition's own entry.
      definition(
        'CREATE TABLE m.h10 (\n);\nALTER TABLE ONLY m.h1 ATTACH PARTITION m.h10 FOR VALUES WITH (modulus 1, remainder 0);\n',
        'TABLE',
      ),
      definition('ALTER TABLE ONLY m.loop ATTACH PARTITION m.loop FOR VALUES IN (1);\n'),
    ],
  });
  const recorded = [table('m', 'h "0', 20), table('m', 'h10', 10), table('m', 'other', 1), table('m', 'loop', 1)];
  const inDump = [table('m', 'h', 20), table('m', 'h', 10), table('m', 'other', 1), table('m', 'loop', 1)];
  expect(compareCounts(recorded, inDump)).not.toEqual([]);
  expect(compareCounts(recorded, inDump, rootOf)).toEqual([]);
  expect(compareCounts(recorded, [table('m', 'h', 29), ...inDump.slice(2)], rootOf)).toEqual([
    'table m.h holds 29 rows, 30 were recorded',
  ]);
});

it('F19, F22: what differs is told with its numbers', () => {
  const recorded = [table('m', 'a', 2), table('m', 'b', 1)];
  expect(compareCounts(recorded, recorded)).toEqual([]);
  expect(compareCounts(recorded, [table('m', 'a', 0), table('m', 'c', 1)])).toEqual([
    'table m.a holds 0 rows, 2 were recorded',
    'table m.b is missing, 1 rows were recorded',
    'table m.c was not recorded',
  ]);
});

it('R6: a row of any width is counted in constant memory, and what looks like the end of a table within one is none', () => {
  const tables: [number, string][] = [];
  const counter = new CopyCounter((rows, statement) => tables.push([rows, statement]));
  const piece = Buffer.alloc(65_536, '\\.');
  counter.push(Buffer.from('COPY public.wide (x) FROM stdin;\n'));
  const before = process.memoryUsage().arrayBuffers;
  for (let bytes = 0; bytes < 600e6; bytes += piece.length) counter.push(piece);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(20e6);
  for (const line of ['', '\\', '\\.x', 'x\\.', ' \\.', '\\.']) counter.push(Buffer.from(`${line}\n`));
  expect(tables).toEqual([[5, 'COPY public.wide (x) FROM stdin;']]);
  expect(counter.end()).toBe(0);
});

it('R6: a row is counted alike wherever it is cut, one of two bytes and the end of the table too', () => {
  const tables: [number, string][] = [];
  const counter = new CopyCounter((rows, statement) => tables.push([rows, statement]));
  for (const byte of Buffer.from('COPY public.cut (x) FROM stdin;\n\\N\nab\n\\.\n')) counter.push(Buffer.of(byte));
  expect(tables).toEqual([[2, 'COPY public.cut (x) FROM stdin;']]);
});
