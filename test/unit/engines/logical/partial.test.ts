import { expect, it } from '@jest/globals';
import { whyPartial } from '../../../../src/engines/logical/archive/partial.js';
import type { TocEntry } from '../../../../src/engines/logical/archive/toc.js';

let id = 0;
function entry(kind: string, schema: string, tag: string, definition = ''): TocEntry {
  const none = { catalog: 0, oid: 0, drop: '', tablespace: '', accessMethod: '', owner: 'postgres' };
  return { ...none, id: ++id, kind, schema, tag, definition };
}
const schema = entry('SCHEMA', '', 'app');
const table = (name: string, definition = `CREATE TABLE app.${name} (\n    i integer\n);\n`) =>
  entry('TABLE', 'app', name, definition);
const rows = (name: string) => entry('TABLE DATA', 'app', name);
const extension = entry('EXTENSION', '', 'postgis');
const why = (...entries: TocEntry[]) =>
  whyPartial({ serverVersion: '15', toolVersion: '15', encoding: 'UTF8', entries });

it('R1: what is missing from a dump is said, as far as its table of contents tells', () => {
  const sequence = entry('SEQUENCE', 'app', 's', 'CREATE SEQUENCE app.s\n    START WITH 1;\n');
  expect(why(schema, table('a'), table('b'))).toMatch(/--schema-only.*table app.a, table app.b/);
  expect(why(schema, sequence)).toMatch(/--schema-only.*sequence app.s/);
  expect(why(rows('a'), rows('b'))).toMatch(/--data-only.*app.a/);
  expect(why(schema, table('a'), table('b'), rows('a'))).toMatch(/without the rows of table app.b /);
  expect(why(table('a'), rows('a'))).toMatch(/without their schema/);
  expect(why(entry('CONSTRAINT', 'app', 'a a_pkey'))).toMatch(/no tables/);
});

it('R1: a whole dump is not taken for a part: partitioned and unlogged tables, tables of extensions, old views, no tables', () => {
  const whole = [
    ...[schema, extension, table('a'), rows('a'), entry('TABLE DATA', 'public', 'spatial_ref_sys')],
    table('p', 'CREATE TABLE app.p (\n    i integer\n)\nPARTITION BY HASH (i);\n'),
    table('u', 'CREATE UNLOGGED TABLE app.u (\n    i integer\n);\n'),
    ...[table('v'), entry('RULE', 'app', 'v _RETURN')],
    entry('TABLE', 'made_by_extension', 't'),
    ...[rows('t'), entry('FOREIGN TABLE', 'app', 'f'), entry('VIEW', 'app', 'w')],
  ];
  expect(why(...whole, entry('TABLE DATA', 'made_by_extension', 't'))).toBeNull();
  expect(why()).toBeNull();
  expect(why(schema, entry('FUNCTION', 'app', 'f()'))).toBeNull();
  expect(why(entry('TABLE', 'public', 'a'), entry('TABLE DATA', 'public', 'a'))).toBeNull();
});
