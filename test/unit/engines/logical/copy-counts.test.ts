import { execFileSync } from 'node:child_process';
import { expect, it } from '@jest/globals';
import { rootsInArchive } from '../../../../src/engines/logical/archive/partitions.js';
import type { TocEntry } from '../../../../src/engines/logical/archive/toc.js';
import { COUNT_COPY_ROWS, compareCounts, parseCounts } from '../../../../src/engines/logical/repository/count-dump.js';

function count(lines: readonly string[]): ReturnType<typeof parseCounts> {
  const output = execFileSync('awk', [COUNT_COPY_ROWS], { input: `${lines.join('\n')}\n`, encoding: 'utf8' });
  return parseCounts('db', output);
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
  expect(() => count(['COPY public.a (x) FROM stdin;', '1'])).toThrow(expect.objectContaining({ status: 3 }));
  expect(() => parseCounts('db', '3\tCOPY public.a (x) FROM stdin;\n')).toThrow('ended early');
});

it('R4: rows of partitions are compared with their root, where the dump has them go there', () => {
  const definition = (text: string, kind = 'TABLE ATTACH') => ({ kind, definition: text }) as TocEntry;
  const rootOf = rootsInArchive({
    ...{ serverVersion: '15', toolVersion: '15' },
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
