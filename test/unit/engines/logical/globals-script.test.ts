import { expect, it } from '@jest/globals';
import { parseGlobals, splitStatements } from '../../../../src/engines/logical/restore/globals-script.js';

it('B4: roles, memberships and tablespaces are told apart', () => {
  const text = [
    '--\n-- PostgreSQL database cluster dump; not a statement\n--\n',
    '\\restrict abc;def\n',
    "SET standard_conforming_strings = on;\nCREATE ROLE rdv;\nALTER ROLE rdv WITH LOGIN PASSWORD 'SCRAM-SHA-256$4096:x;y''z';\n",
    "ALTER ROLE rdv SET search_path TO 'a', 'b';\n",
    'GRANT pg_read_all_data TO rdv WITH ADMIN OPTION GRANTED BY postgres;\n',
    "CREATE TABLESPACE fast OWNER rdv LOCATION '/srv/it''s';\nGRANT ALL ON TABLESPACE fast TO rdv;\n\n\\unrestrict abc\n",
  ].join('');
  expect(parseGlobals(text)).toMatchObject([
    { kind: 'setting' },
    { kind: 'create-role', role: 'rdv' },
    { kind: 'alter-role', role: 'rdv' },
    { kind: 'alter-role', role: 'rdv' },
    {
      kind: 'grant-role',
      granted: 'pg_read_all_data',
      member: 'rdv',
      sql: 'GRANT pg_read_all_data TO rdv WITH ADMIN OPTION',
    },
    { kind: 'create-tablespace', tablespace: 'fast', location: "/srv/it's" },
    { kind: 'alter-tablespace', tablespace: 'fast' },
  ]);
});

it('F35: a role named like a statement stays one name', () => {
  const hostile = 'CREATE ROLE "x""; DROP DATABASE mairie;\n--";';
  expect(parseGlobals(hostile)).toEqual([
    { kind: 'create-role', role: 'x"; DROP DATABASE mairie;\n--', sql: hostile.slice(0, -1) },
  ]);
});

it('F15: a file that ends in the middle is refused', () => {
  expect(() => splitStatements("ALTER ROLE rdv PASSWORD 'abc")).toThrow('a quote is never closed');
  expect(() => splitStatements('CREATE ROLE rdv')).toThrow('in the middle of a statement');
});
