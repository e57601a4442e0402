import { appendFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import { classifyComplaints, complaintsIn } from '../../../../src/engines/logical/restore/restore-complaints.js';
import { tempDir } from '../../../helpers/temp.js';

const publicExists = [
  'pg_restore: while PROCESSING TOC:',
  'pg_restore: from TOC entry 6; 2615 2200 SCHEMA - public postgres',
  'pg_restore: error: could not execute query: ERROR:  schema "public" already exists',
  'Command was: CREATE SCHEMA public;',
  '',
  '',
];
const typeMissing = [
  'pg_restore: from TOC entry 210; 1259 16391 TABLE t postgres',
  'pg_restore: error: could not execute query: ERROR:  type "geo.point" does not exist',
  'LINE 1: CREATE TABLE t (p geo.point);',
  '                          ^',
  'Command was: CREATE TABLE t (',
  '    p geo.point',
  ');',
  '',
];
const ignored = (count: number): string => `pg_restore: warning: errors ignored on restore: ${count}`;

it('F21: a complaint that is known to be harmless is accepted, with the rule that accepts it', () => {
  const { accepted, refused } = classifyComplaints([...publicExists, ignored(1)].join('\n'));
  expect(refused).toEqual([]);
  expect(accepted).toEqual([expect.stringContaining('every new database has the schema public already')]);
});

it('F21: one unknown complaint among harmless ones fails the restore and is named', () => {
  const { accepted, refused } = classifyComplaints([...publicExists, ...typeMissing, ignored(2)].join('\n'));
  expect(accepted).toHaveLength(1);
  expect(refused).toEqual([expect.stringMatching(/TABLE t postgres: .*type "geo.point" does not exist/)]);
});

it('F21: the words of a harmless complaint under another command do not pass', () => {
  const other = publicExists.map((line) => line.replace('CREATE SCHEMA public;', 'CREATE TABLE public.t (x int);'));
  expect(classifyComplaints([...other, ignored(1)].join('\n')).refused).toHaveLength(1);
});

it('F21: another number of ignored errors than was read fails the restore', () => {
  expect(classifyComplaints([...publicExists, ignored(2)].join('\n')).refused).toEqual([
    'pg_restore counts 2 ignored errors where 1 were read',
  ]);
  expect(classifyComplaints(publicExists.join('\n')).refused).toHaveLength(1);
});

it('F35: a name with newlines cannot pass its failure off as harmless', () => {
  const hostile = [
    'pg_restore: error: could not execute query: ERROR:  type "x" does not exist',
    'Command was: CREATE TABLE "a',
    'pg_restore: error: could not execute query: ERROR:  schema "public" already exists',
    'Command was: CREATE SCHEMA public;',
    '" (x x);',
  ];
  expect(classifyComplaints([...hostile, ignored(1)].join('\n')).refused).not.toEqual([]);
});

it('F39: row values are not repeated', () => {
  const line =
    'pg_restore: error: COPY failed for table "t": ERROR:  invalid input syntax for type integer: "Dupont 0612"';
  const detail = 'CONTEXT:  COPY t, line 1, column x: "Dupont 0612"';
  expect(JSON.stringify(classifyComplaints([line, detail, ignored(1)].join('\n')))).not.toContain('Dupont');
});

it('U1: output that code in a dump makes as long as it likes is cut where it is read, and counted whole', async () => {
  const path = join(await tempDir('complaints'), 'stderr');
  const complaint = [
    'pg_restore: from TOC entry 210; 1259 16391 TABLE t postgres',
    `pg_restore: error: could not execute query: ERROR:  ${'x'.repeat(1_000_000)}`,
    'Command was: CREATE TABLE t (',
    ...Array.from({ length: 1_000 }, () => 'y'.repeat(1_000)),
    '',
  ];
  await writeFile(path, '');
  for (let count = 0; count < 150; count++) await appendFile(path, complaint.join('\n'));
  await appendFile(path, ignored(150));
  const { accepted, refused } = await complaintsIn(path);
  expect(accepted).toEqual([]);
  expect(refused).toHaveLength(101);
  expect(refused.at(-1)).toBe('and 50 more');
  expect(refused[0]).toMatch(/^210; 1259 16391 TABLE t postgres: could not execute query: ERROR: {2}x+$/);
  expect(refused[0]?.length).toBeLessThan(500);
});

it('U1: a command that is cut is no harmless one, and what pg_restore says itself is kept apart from messages of code', async () => {
  const path = join(await tempDir('complaints'), 'stderr');
  const comment = publicExists.map((line) =>
    line
      .replace('schema "public" already exists', 'must be owner of extension x')
      .replace(/^Command was: .*/, `Command was: COMMENT ON EXTENSION x IS '${'z'.repeat(20_000)}';`),
  );
  await writeFile(path, [...comment, 'pg_restore: error: connection to server was lost', ignored(2)].join('\n'));
  const found = await complaintsIn(path);
  expect(found.refused).toHaveLength(2);
  expect(found.ownErrors).toBe('pg_restore: error: connection to server was lost');
});

it('R8: parallel jobs count their complaints more than once, and a materialized view that is not filled is no reason to refuse', () => {
  const unfilled = (id: number): readonly string[] => [
    'pg_restore: while PROCESSING TOC:',
    `pg_restore: from TOC entry ${id}; 0 16429 MATERIALIZED VIEW DATA of_forced alice`,
    'pg_restore: error: could not execute query: ERROR:  query would be affected by row-level security policy for table "forced"',
    'Command was: REFRESH MATERIALIZED VIEW app.of_forced;',
    '',
  ];
  const parallel = (count: number) =>
    classifyComplaints(
      [...publicExists, 'pg_restore: entering main parallel loop', ...unfilled(1), ...unfilled(2), ignored(count)].join(
        '\n',
      ),
    );
  expect(parallel(5)).toMatchObject({ refused: [], accepted: { length: 3 }, missingNames: false });
  expect(parallel(6).refused).toEqual([]);
  expect(parallel(4).refused).toHaveLength(1);
  expect(parallel(7).refused).toHaveLength(1);
});

it('R8: lines that parallel jobs have written at the same time are read, and not taken for less errors', () => {
  const failed = (id: number): string =>
    `could not execute query: ERROR:  function factor() does not exist\nCommand was: CREATE INDEX i${id} ON app.t (app.f(a));\n`;
  const together = [
    'pg_restore: entering main parallel loop',
    `pg_restore:pg_restore: error:  error: ${failed(1)}`,
    `${failed(2)}pg_restore: pg_restore: launching item 12 INDEX i3`,
    `error: ${failed(3)}`,
  ];
  const { errors, refused, missingNames } = classifyComplaints([...together, ignored(6)].join('\n'));
  expect(refused).toHaveLength(3);
  expect(errors).toEqual(refused);
  expect(missingNames).toBe(true);
  // Fewer than pg_restore counts: whatever else failed, nobody can accept it.
  expect(classifyComplaints([...together, ignored(60)].join('\n')).errors).toEqual([]);
});

it('R8: what a job says of its work right behind the complaint of another one is no part of that', () => {
  const refresh = 'could not execute query: ERROR:  permission denied\nCommand was: REFRESH MATERIALIZED VIEW app.v;\n';
  const complaint = (work: string): string =>
    ['pg_restore: entering main parallel loop', `pg_restore: error: pg_restore: ${refresh}`, work, ignored(2)].join(
      '\n',
    );
  for (const work of [
    'launching item 3352 MATERIALIZED VIEW DATA roles',
    'finished item 3351 MATERIALIZED VIEW DATA of_forced',
    'from TOC entry 3352; 0 16395 MATERIALIZED VIEW DATA roles alice',
    'while PROCESSING TOC:',
    'finished main parallel loop',
  ])
    for (const text of [
      complaint(work),
      complaint(work).replace('error: pg_restore: ', `error: pg_restore: ${work}\n`),
    ])
      expect(classifyComplaints(text)).toMatchObject({ refused: [], accepted: { length: 1 } });
  expect(classifyComplaints(complaint('DROP TABLE app.t;')).refused).toHaveLength(1);
});

it('R8: only errors that the server gave to single statements can be accepted, however many they are', () => {
  const failed = (message: string): readonly string[] => [
    'pg_restore: from TOC entry 210; 1259 16391 INDEX i alice',
    `pg_restore: error: ${message}`,
    'Command was: CREATE INDEX i ON app.t (app.f(a));',
    '',
  ];
  const statement = failed('could not execute query: ERROR:  division by zero');
  const errorsOf = (...lines: readonly string[]) => classifyComplaints(lines.join('\n')).errors;
  expect(errorsOf(...publicExists, ...statement, ignored(2))).toEqual([
    '210; 1259 16391 INDEX i alice: could not execute query: ERROR:  division by zero',
  ]);
  expect(errorsOf(...statement, ...failed('could not read from input file: end of file'), ignored(2))).toEqual([]);
  // It stopped in the middle: what would have come is not known.
  expect(errorsOf(...statement)).toEqual([]);
  const many = (last: string): readonly string[] =>
    errorsOf(...Array.from({ length: 149 }, () => statement).flat(), ...failed(last), ignored(150));
  const of = (end: string): string => many(`could not execute query: ERROR:  ${end}`).at(-1) ?? '';
  expect(of('this')).toMatch(/^and 50 more, in the job records of this host \(SHA-256 of all errors: [0-9a-f]{64}\)$/);
  expect(of('that')).not.toBe(of('this'));
});
