import { expect, it } from '@jest/globals';
import { withoutStatements } from '../../../src/postgres/server/log-lines.js';

const at = '2026-11-29 16:00:00.123 UTC [42] ';

it('V4, F39: of a server log the evidence has what the server says of itself, no statement and no value of a row', () => {
  const log = [
    `${at}LOG:  starting PostgreSQL 15.18`,
    `${at}LOG:  restored log file "000000010000000000000003" from archive`,
    `${at}LOG:  statement: INSERT INTO people VALUES ('Jeanne')`,
    `${at}LOG:  duration: 1.2 ms  execute <unnamed>: SELECT $1`,
    `${at}DETAIL:  parameters: $1 = 'Jeanne'`,
    `${at}ERROR:  duplicate key value violates unique constraint "people_pkey"`,
    `${at}DETAIL:  Key (name)=(Jeanne) already exists.`,
    `${at}STATEMENT:  INSERT INTO people`,
    `\tVALUES ('Jeanne')`,
    `${at}LOG:  AUDIT: SESSION,1,1,READ,SELECT,,,SELECT 'Jeanne'`,
    `'Jeanne' printed by a program`,
    `${at}FATAL:  recovery ended before configured recovery target was reached`,
    `${at}HINT:  look at the archive`,
    `${at}FATAL:  hot standby is not possible`,
    `${at}DETAIL:  max_connections = 100 is a lower setting than on the primary server, where its value was 200.`,
    `${at}ERREUR:  valeur « Jeanne »`,
  ].join('\n');
  const kept = withoutStatements(log);
  expect(kept).not.toContain('Jeanne');
  expect(kept.split('\n')).toEqual([
    ...[0, 1, 5, 11, 12, 13, 14].map((line) => log.split('\n')[line]),
    expect.stringMatching(/^\(9 lines are left out here/),
  ]);
});
