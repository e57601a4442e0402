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

it('G1: only whole statements of pg_dumpall are run: none hides in another one', () => {
  const written = [
    'ALTER ROLE rdv WITH NOSUPERUSER INHERIT NOCREATEROLE NOCREATEDB LOGIN NOREPLICATION NOBYPASSRLS',
    "ALTER ROLE rdv WITH LOGIN CONNECTION LIMIT 7 PASSWORD 'SCRAM-SHA-256$4096:x' VALID UNTIL '2027-01-01 00:00:00+00'",
    `ALTER ROLE "a b" IN DATABASE mairie SET "DateStyle" TO 'ISO, DMY'`,
    String.raw`COMMENT ON ROLE rdv IS E'a\\b''c'`,
    'GRANT a TO "b c" WITH ADMIN OPTION, INHERIT FALSE, SET TRUE',
    'ALTER TABLESPACE fast SET (random_page_cost=1.1, seq_page_cost=2)',
    "COMMENT ON TABLESPACE fast IS 'x'",
    'REVOKE ALL ON TABLESPACE fast FROM PUBLIC',
  ];
  expect(parseGlobals(`${written.join(';\n')};\n`).map(({ sql }) => sql)).toEqual(written);
  for (const hostile of [
    "ALTER ROLE rdv WITH LOGIN /* ' */; CREATE ROLE evil SUPERUSER; /* ' */",
    String.raw`ALTER ROLE rdv WITH PASSWORD '\' VALID UNTIL '; CREATE ROLE evil SUPERUSER; --'`,
    String.raw`COMMENT ON ROLE rdv IS E'\'; CREATE ROLE evil SUPERUSER; --'`,
    "COMMENT ON ROLE rdv IS $$'$$; CREATE ROLE evil SUPERUSER; --'",
    "ALTER ROLE rdv SET search_path TO 'a' -- '\n; CREATE ROLE evil SUPERUSER -- '",
    'ALTER ROLE rdv RENAME TO evil',
    'ALTER TABLESPACE fast SET (random_page_cost=(SELECT 1))',
    "CREATE TABLESPACE fast OWNER rdv LOCATION '/srv' WITH (x)",
  ])
    expect(() => parseGlobals(`${hostile};`)).toThrow(/statement that pg_dumpall does not write/);
  // Anything else is no statement that is run.
  expect(
    parseGlobals('CREATE FUNCTION f() RETURNS void LANGUAGE sql; DROP DATABASE x;').map(({ kind }) => kind),
  ).toEqual(['other', 'other']);
});

it('R14: the security label of a role is read as its own statement, whatever is in its text', () => {
  const label = `SECURITY LABEL FOR dummy ON ROLE "a b" IS 'it''s; secret'`;
  expect(parseGlobals(`${label};\n`)).toEqual([{ kind: 'label-role', provider: 'dummy', role: 'a b', sql: label }]);
  expect(parseGlobals(`SECURITY LABEL FOR dummy ON DATABASE a IS 'x';`)).toMatchObject([{ kind: 'other' }]);
});
