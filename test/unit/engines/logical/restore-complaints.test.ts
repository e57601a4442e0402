import { expect, it } from '@jest/globals';
import { classifyComplaints } from '../../../../src/engines/logical/restore/restore-complaints.js';

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
