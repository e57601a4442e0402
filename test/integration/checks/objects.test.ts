import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import type { CheckOutcome, RestoredService } from '../../../src/checks/check.js';
import { checkOf } from '../../../src/checks/registry.js';
import type { RecordedObjects } from '../../../src/domain/backup/recorded-objects.js';
import type { ConnectionConfig } from '../../../src/domain/config.js';
import { recordClusterObjects } from '../../../src/postgres/content/read-objects.js';
import { readTables } from '../../../src/postgres/content/read-tables.js';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { giveToPostgres } from '../../helpers/postgres-user.js';
import { runQuery, startScratchCluster } from '../../helpers/postgres.js';
import type { ScratchCluster } from '../../helpers/scratch-cluster.js';
import { tempDir } from '../../helpers/temp.js';

failOnLeakedProcesses();

/** One database is recorded; each test damages a copy of it, as if that had been restored in its place. */
let cluster: ScratchCluster;
let connection: ConnectionConfig;
let recorded: RecordedObjects;
const signal = new AbortController().signal;

const run = (database: string, sql: string): Promise<unknown> => runQuery(cluster, database, sql);

const OBJECTS = `
  CREATE SCHEMA metier AUTHORIZATION metier_owner;
  CREATE EXTENSION amcheck;
  CREATE TYPE metier.etat AS ENUM ('ouvert', 'clos'); CREATE DOMAIN metier.cp AS text CHECK (VALUE ~ '^[0-9]{5}$');
  CREATE TABLE metier.actes (id int PRIMARY KEY, quoi varchar(30) DEFAULT 'x' CHECK (quoi IN ('x', 'y')), gone int, etat metier.etat, cp metier.cp);
  ALTER TABLE metier.actes DROP COLUMN gone; ALTER TABLE metier.actes OWNER TO metier_owner; GRANT SELECT ON metier.actes TO lecteur;
  CREATE INDEX actes_quoi ON metier.actes (lower(quoi)) WHERE etat = 'ouvert';
  CREATE FUNCTION metier.taux(n int DEFAULT 1) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT n * 20';
  CREATE VIEW metier.ouverts AS SELECT id, quoi FROM metier.actes WHERE etat = 'ouvert' AND quoi IN ('x', 'y');
  CREATE FUNCTION metier.note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
  CREATE TRIGGER note BEFORE INSERT ON metier.actes FOR EACH ROW WHEN (NEW.quoi = 'x') EXECUTE FUNCTION metier.note();
  CREATE POLICY a_soi ON metier.actes TO lecteur USING (quoi = 'x'); CREATE RULE rien AS ON DELETE TO metier.ouverts DO INSTEAD NOTHING;
  CREATE SEQUENCE metier.numero; SELECT setval('metier.numero', 4200); CREATE AGGREGATE metier.somme(int) (SFUNC = int4pl, STYPE = int);
  CREATE TABLE metier.parts (n int, d date) PARTITION BY RANGE (n); CREATE TABLE metier.parts_1 PARTITION OF metier.parts FOR VALUES FROM (0) TO (9);
  CREATE INDEX ON metier.parts (d); CREATE TYPE metier.plage AS RANGE (SUBTYPE = int); CREATE MATERIALIZED VIEW metier.total AS SELECT count(*) FROM metier.actes;
  ALTER DEFAULT PRIVILEGES IN SCHEMA metier GRANT SELECT ON TABLES TO lecteur; GRANT UPDATE (quoi) ON metier.actes TO lecteur;
  CREATE UNLOGGED TABLE metier.brouillon AS SELECT 1 AS n; SELECT lo_from_bytea(4711, 'un plan')`;

beforeAll(async () => {
  cluster = await startScratchCluster({ unrelated: true, version: 15, settings: { allow_system_table_mods: 'on' } });
  connection = { host: cluster.host, port: cluster.port, user: 'postgres', maintenanceDatabase: 'postgres' };
  await run('postgres', 'CREATE ROLE metier_owner; CREATE ROLE lecteur; CREATE ROLE parti');
  await run('postgres', 'CREATE DATABASE source');
  await run('source', OBJECTS);
  await run('source', 'GRANT USAGE ON SCHEMA metier TO parti');
  const found = await recordClusterObjects(connection, ['source'], signal);
  if (found === undefined) throw new Error('nothing was recorded');
  recorded = found;
});

async function check(
  database: string,
  more: { readonly exact?: boolean; readonly restored?: Partial<RestoredService>; readonly options?: object } = {},
): Promise<CheckOutcome> {
  const kind = checkOf('objects');
  const backup = { label: 'b', database, objects: recorded, server: undefined, startedAt: '', finishedAt: null };
  return kind.run(
    {
      ...{ connection, recorded: [], recordedIsExact: more.exact ?? true, signal },
      restored: {
        ...{ method: 'databases', databases: [database], dataDir: cluster.dataDir, pgBin: cluster.binDir, user: null },
        ...{ target: { kind: 'latest' }, reached: null, backups: [backup] },
        tables: () => readTables(connection, [database], signal),
        ...more.restored,
      } as unknown as RestoredService,
    },
    kind.read(kind.options.parse(more.options ?? {})),
  );
}

let copies = 0;
async function copied(): Promise<string> {
  const name = `copy_${++copies}`;
  await run('postgres', `CREATE DATABASE ${name} TEMPLATE source`);
  // The value of a sequence comes with the copy of its file.
  return name;
}

describe('objects as recorded with the backup', () => {
  it('F22: a dump and its restore, and a copy, hold what was recorded: parentheses, casts, dropped columns and default rights make no difference', async () => {
    await run('postgres', 'CREATE DATABASE restored');
    const at = `-h ${cluster.host} -p ${cluster.port} -U postgres`;
    const [dump, restore] = ['pg_dump', 'pg_restore'].map((tool) => join(cluster.binDir, tool));
    await promisify(execFile)('bash', [
      '-c',
      `set -o pipefail; ${dump} ${at} -Fc source | ${restore} ${at} --exit-on-error -d restored`,
    ]);
    for (const database of ['restored', await copied()])
      expect(await check(database)).toEqual({
        status: 'passed',
        detail: expect.stringMatching(
          /^owners, rights, tablespaces and indexes of 1 databases are whole; 3 roles and \d+ definitions are as recorded/,
        ),
      });
    expect(await check('restored', { restored: { backups: [] } })).toMatchObject({
      status: 'skipped',
      detail: expect.stringContaining('no objects were recorded with the backup'),
    });
  });

  it.each([
    [
      'a function',
      `CREATE OR REPLACE FUNCTION metier.taux(n int DEFAULT 1) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT n * 10'`,
      'function metier.taux(integer) has another definition',
    ],
    [
      'a trigger that is off',
      'ALTER TABLE metier.actes DISABLE TRIGGER note',
      'trigger metier.actes.note has another definition',
    ],
    ['a trigger that is missing', 'DROP TRIGGER note ON metier.actes', 'trigger metier.actes.note is missing'],
    [
      'a view',
      `CREATE OR REPLACE VIEW metier.ouverts AS SELECT id, quoi FROM metier.actes WHERE etat = 'clos' AND quoi IN ('x', 'y')`,
      'view metier.ouverts has another definition',
    ],
    [
      'a sequence that lost its value',
      `SELECT setval('metier.numero', 41)`,
      'sequence metier.numero is at 41, and was at 4200',
    ],
    [
      'an owner',
      'ALTER TABLE metier.actes OWNER TO postgres',
      'table metier.actes has another definition, owner or rights than recorded',
    ],
    [
      'rights',
      'REVOKE SELECT ON metier.actes FROM lecteur',
      'table metier.actes has another definition, owner or rights',
    ],
    [
      'rights of a column',
      'REVOKE UPDATE (quoi) ON metier.actes FROM lecteur',
      'table metier.actes has another definition, owner or rights',
    ],
    ['an extension', 'DROP EXTENSION amcheck', 'extension amcheck is missing'],
    ['an index', 'DROP INDEX metier.actes_quoi', 'index metier.actes_quoi is missing'],
    [
      'a constraint',
      'ALTER TABLE metier.actes DROP CONSTRAINT actes_quoi_check',
      'constraint metier.actes.actes_quoi_check is missing',
    ],
    ['a policy', 'ALTER POLICY a_soi ON metier.actes USING (true)', 'policy metier.actes.a_soi has another definition'],
    ['a default', `ALTER TABLE metier.actes ALTER quoi SET DEFAULT 'y'`, 'table metier.actes has another definition'],
    ['a label of an enum', `ALTER TYPE metier.etat ADD VALUE 'perdu'`, 'type metier.etat has another definition'],
    [
      'default privileges',
      'ALTER DEFAULT PRIVILEGES IN SCHEMA metier REVOKE SELECT ON TABLES FROM lecteur',
      'default privileges postgres r metier is missing',
    ],
    [
      'something added',
      'CREATE FUNCTION metier.porte() RETURNS int LANGUAGE sql AS $$SELECT 1$$',
      'function metier.porte() was not recorded',
    ],
  ])('F22: %s is found, with what to do', async (_, damage, says) => {
    const database = await copied();
    await run(database, damage);
    const found = await check(database);
    expect(found).toMatchObject({ status: 'failed', hint: expect.stringContaining('pg_dump --schema-only') });
    expect(found.detail).toContain(`${database}: ${says}`);
    // Where WAL was replayed beyond the backup, it may have been changed since: only what is gone is told.
    const isName = /^extension/.test(says);
    expect((await check(database, { exact: false })).status).toBe(isName ? 'failed' : 'passed');
  });

  it('F22: an index that no query may use is found, with what to do, and may be left out by name', async () => {
    const database = await copied();
    await run(database, `UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'metier.actes_quoi'::regclass`);
    await run(database, `UPDATE pg_index SET indisready = false WHERE indexrelid = 'metier.parts_1_d_idx'::regclass`);
    const found = await check(database, { exact: false });
    expect(found).toMatchObject({ status: 'failed', hint: expect.stringMatching(/REINDEX or DROP it/) });
    expect(found.detail).toContain('index metier.actes_quoi of table metier.actes is invalid');
    expect(found.detail).toContain('index metier.parts_1_d_idx of table metier.parts_1 is not kept up to date');
    expect(
      await check(database, { exact: false, options: { except: ['metier.actes_quoi', '*_d_idx'] } }),
    ).toMatchObject({ status: 'passed' });
  });

  it('F22: an owner, a grantee, a tablespace and an extension that the catalogues name and have not are found, whatever was recorded', async () => {
    const location = join(await tempDir('tablespace'), 'fast');
    await mkdir(location);
    await giveToPostgres(location);
    await run('postgres', `CREATE TABLESPACE fast LOCATION '${location}'`);
    await run('postgres', 'CREATE ROLE lost');
    const database = await copied();
    await run(database, 'CREATE TABLE metier.perdue (n int) TABLESPACE fast');
    await run(database, 'ALTER TABLE metier.perdue OWNER TO lost; GRANT USAGE ON SCHEMA metier TO lost');
    const before = { ...recorded, tablespaces: ['fast'], roles: [...recorded.roles, 'lost'] };
    const backups = [{ label: 'b', objects: before, startedAt: '', finishedAt: null }];
    const physical = { method: 'data-directory' as const, backups };
    expect(await check(database, { exact: false, restored: physical })).toMatchObject({ status: 'passed' });
    await run('postgres', `DELETE FROM pg_authid WHERE rolname = 'lost'`);
    await run('postgres', `DELETE FROM pg_tablespace WHERE spcname = 'fast'`);
    await run(database, `DELETE FROM pg_extension WHERE extname = 'amcheck'`);
    const named = await check(database, { exact: false, restored: physical });
    expect(named.detail).toContain('role lost is missing');
    expect(named.detail).toContain('tablespace fast is missing');
    expect(named).toMatchObject({ status: 'failed', hint: expect.stringContaining('under except:') });
    const left = await check(database, {
      ...{ exact: false, restored: physical, options: { except: ['lost', 'fast', 'amc*'] } },
    });
    expect(left.detail).toContain('OID');
    expect(left.detail).not.toMatch(/(role lost|tablespace fast|extension amcheck) is missing/);
    const bare = await check(database, { restored: { ...physical, backups: [] } });
    expect(bare).toMatchObject({ status: 'failed', hint: expect.stringContaining('catalogues are damaged') });
    expect(bare.detail).toMatch(/the role with OID \d+ owns objects or has rights on some, and is missing/);
    expect(bare.detail).toMatch(/the tablespace with OID \d+ has 1 relations, and is missing/);
    expect(bare.detail).toMatch(/the extension with OID \d+ has \d+ objects, and is missing/);
  });
});
