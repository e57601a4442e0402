import { describe, expect, it } from '@jest/globals';
import { whyPartial } from '../../../../src/engines/logical/archive/partial.js';
import { compareLive } from '../../../../src/engines/logical/archive/compare-live.js';
import type { TocEntry } from '../../../../src/engines/logical/archive/toc.js';

let id = 0;
function entry(kind: string, schema: string, tag: string, definition = ''): TocEntry {
  const none = { catalog: 0, oid: 0, drop: '', tablespace: '', accessMethod: '', owner: 'postgres', dataAt: null };
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

it('R1: what refers to a table that is not in the dump tells that it was left out', () => {
  const foreignKey = (to: string) =>
    entry(
      'FK CONSTRAINT',
      'app',
      'a f',
      `ALTER TABLE ONLY app.a\n    ADD CONSTRAINT f FOREIGN KEY (i) REFERENCES ${to}(i);\n`,
    );
  const whole = [schema, table('a'), rows('a'), table('b'), rows('b')];
  expect(why(...whole, foreignKey('app.b'))).toBeNull();
  expect(why(...whole, foreignKey('app.c'))).toMatch(/without app\.c, to which fk constraint app\.a f refers/);
  expect(why(...whole, foreignKey('other."b c"'))).toMatch(/without other\.b c/);
  expect(
    why(
      ...whole,
      entry('DEFAULT', 'app', 'a i', "ALTER TABLE ONLY app.a ALTER COLUMN i SET DEFAULT nextval('app.s'::regclass);\n"),
    ),
  ).toMatch(/without app\.s/);
  expect(why(...whole, entry('SEQUENCE OWNED BY', 'app', 's', 'ALTER SEQUENCE app.s OWNED BY app.x.i;\n'))).toMatch(
    /without app\.x/,
  );
  expect(
    why(
      ...whole,
      entry('TABLE ATTACH', 'app', 'b', 'ALTER TABLE ONLY app.p ATTACH PARTITION app.b FOR VALUES IN (1);\n'),
    ),
  ).toMatch(/without app\.p/);
  expect(why(...whole, table('k', 'CREATE TABLE app.k (\n    i integer\n)\nINHERITS (app.p);\n'), rows('k'))).toMatch(
    /without app\.p/,
  );
  // What an extension may have made.
  expect(why(extension, ...whole, foreignKey('public.spatial_ref_sys'))).toBeNull();
});

describe('R1: a dump is compared with the database that it says to be of', () => {
  const known = (oid: number, of: TocEntry): TocEntry => ({ ...of, catalog: 1259, oid });
  const toc = (...entries: TocEntry[]) => ({ serverVersion: '15', toolVersion: '15', encoding: 'UTF8', entries });
  const none = { largeObject: null, ownTables: null };
  const [a, b, c] = [known(20_000, table('a')), known(20_010, table('b')), known(20_020, table('c'))];
  const blobs = entry('BLOBS', '', 'BLOBS');

  it('all that is there is in it: whole, also where it was renamed or dropped since', () => {
    const whole = { partial: null, unknown: null };
    expect(compareLive(toc(a, b, c), { toc: toc(a, b), ...none })).toEqual(whole);
    expect(compareLive(toc(a, b, c), { toc: toc(a, known(20_010, table('renamed'))), ...none })).toEqual(whole);
    expect(compareLive(toc(a, b, blobs), { toc: toc(a, b), ...none, largeObject: 16_500 })).toEqual(whole);
    // After a recovery by dumps all OIDs are others.
    expect(compareLive(toc(a, b), { toc: toc(known(1, table('a')), known(2, table('b'))), ...none })).toEqual(whole);
  });

  it('older than the newest in it, and not in it: left out', () => {
    expect(compareLive(toc(a, c), { toc: toc(a, b, c), ...none }).partial).toMatch(/without table app\.b, which/);
    expect(compareLive(toc(a, c), { toc: toc(a, c), ...none, largeObject: 20_005 }).partial).toMatch(/large objects/);
  });

  it('younger, of another history, not to be compared, or in a backup of our own: nobody can tell', () => {
    const doubt = (...[dump, live]: Parameters<typeof compareLive>) => {
      const { partial, unknown } = compareLive(dump, live);
      expect(partial).toBeNull();
      return unknown;
    };
    expect(doubt(toc(a, b), { toc: toc(a, b, c), ...none })).toMatch(/has table app\.c, which it has not/);
    expect(doubt(toc(a, b), { toc: toc(a, b), ...none, largeObject: 30_000 })).toMatch(/large objects/);
    expect(doubt(toc(b), { toc: toc(known(1, table('a')), known(2, table('b'))), ...none })).toMatch(/app\.a/);
    expect(doubt(toc(a), { toc: toc(), ...none })).toMatch(/nothing now/);
    expect(doubt(toc(a), { toc: toc(a), ...none, ownTables: [{ schema: 'app', table: 'lost' }] })).toMatch(/app\.lost/);
  });
});
