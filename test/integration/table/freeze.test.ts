import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { FreezeMeans } from '../../../src/domain/table/repair.js';
import { withClient } from '../../../src/postgres/connection/with-client.js';
import {
  type FrozenParts,
  freezeTable,
  openParts,
  requireFreezable,
  unfreezeTable,
} from '../../../src/postgres/repair/freeze.js';
import { readTableFacts } from '../../../src/postgres/repair/table-facts.js';
import { createDatabaseFromTemplate, runQuery, sharedServer, type TestDatabase } from '../../helpers/postgres.js';

const table = { schema: 'Ville "A"', table: 'rdv; DROP' };
const NAME = '"Ville ""A"""."rdv; DROP"';
const EAST = '"Ville ""A"""."east ""1"""';
const WHOLE = '"Ville ""A""".everywhere';

let database: TestDatabase;
const role = (name: string): string => `${name}_${database.name}`;
const connection = () => {
  const { host, port, user } = sharedServer();
  return { host, port, user, maintenanceDatabase: 'postgres' };
};

async function frozen(means: FreezeMeans): Promise<FrozenParts> {
  let noted: FrozenParts = { oids: [], taken: [] };
  await withClient(connection(), database.name, (client) =>
    freezeTable(client, { table, means }, 'reprise/table-repair/x', (parts) => {
      noted = parts;
      return Promise.resolve();
    }),
  );
  return noted;
}

const unfrozen = (means: FreezeMeans, parts: FrozenParts, isHeld = false): Promise<void> =>
  withClient(connection(), database.name, (client) =>
    unfreezeTable(client, { table, means }, () => Promise.resolve(isHeld ? null : parts)),
  );

const open = (means: FreezeMeans): Promise<readonly string[]> =>
  withClient(connection(), database.name, async (client) => [...(await openParts(client, { table, means }))].sort());

/** What a statement meets, as a role. */
async function meets(statement: string, as = role('app')): Promise<string> {
  try {
    await database.query(`SET ROLE ${as}; BEGIN; ${statement}; ROLLBACK; RESET ROLE`);
    return 'done';
  } catch (error) {
    return (error as Error).message;
  }
}

/** Everything that freezing could leave. */
async function traces(): Promise<unknown> {
  const { rows } = await database.query(
    `SELECT (SELECT json_agg(json_build_array(c.relname, (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(c.relacl) a)) ORDER BY c.relname) FROM pg_class c WHERE relnamespace = '"Ville ""A"""'::regnamespace AND relkind IN ('r', 'p')) AS tables,
            (SELECT json_agg(json_build_array(attrelid::regclass, attname, attacl::text) ORDER BY attrelid, attname) FROM pg_attribute WHERE attacl IS NOT NULL AND attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = '"Ville ""A"""'::regnamespace)) AS columns,
            (SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal) AS triggers,
            (SELECT count(*) FROM pg_namespace WHERE nspname = 'reprise_freeze') AS schemas`,
  );
  return rows[0];
}

beforeAll(async () => {
  database = await createDatabaseFromTemplate();
  await database.query(`CREATE ROLE ${role('owner')}; CREATE ROLE ${role('app')}; CREATE ROLE ${role('batch')}; CREATE ROLE ${role('group')};
    CREATE ROLE ${role('member')} IN ROLE ${role('group')};
    CREATE SCHEMA "Ville ""A"""; GRANT USAGE, CREATE ON SCHEMA "Ville ""A""" TO PUBLIC; SET ROLE ${role('owner')};
    CREATE TABLE ${WHOLE} (id int, region text, place int, who text) PARTITION BY LIST (region);
    CREATE TABLE ${NAME} PARTITION OF ${WHOLE} FOR VALUES IN ('a', 'b') PARTITION BY RANGE (place);
    CREATE TABLE ${EAST} PARTITION OF ${NAME} FOR VALUES FROM (0) TO (10);
    CREATE TABLE "Ville ""A""".other PARTITION OF ${WHOLE} DEFAULT;
    INSERT INTO ${WHOLE} VALUES (1, 'a', 1, 'one'), (2, 'c', 1, 'two');
    GRANT ALL ON ALL TABLES IN SCHEMA "Ville ""A""" TO ${role('app')};
    GRANT INSERT, UPDATE ON ${NAME} TO ${role('app')} WITH GRANT OPTION;
    GRANT INSERT (id, who) ON ${EAST} TO ${role('batch')} WITH GRANT OPTION; GRANT SELECT ON ${NAME} TO PUBLIC; RESET ROLE;
    SET ROLE ${role('app')}; GRANT INSERT ON ${NAME} TO ${role('batch')}; RESET ROLE;
    SET ROLE ${role('batch')}; GRANT INSERT (who) ON ${EAST} TO ${role('app')}; RESET ROLE`);
});
afterAll(async () => {
  await runQuery(sharedServer(), 'postgres', `DROP DATABASE IF EXISTS ${database.name} WITH (FORCE)`);
  for (const name of ['owner', 'app', 'batch', 'member', 'group'])
    await runQuery(sharedServer(), 'postgres', `DROP ROLE ${role(name)}`);
});

const WRITES = [
  `INSERT INTO ${NAME} VALUES (3, 'a', 2, 'three')`,
  `INSERT INTO ${EAST} (id, region, place, who) VALUES (3, 'a', 2, 'three')`,
  `UPDATE ${NAME} SET who = 'x'`,
  `DELETE FROM ${EAST}`,
  `TRUNCATE ${NAME}`,
];

describe('T4: writes to a table are blocked', () => {
  test('T4: by a trigger: for everybody, by every way, the table above and logical replication too; nothing of it is left', async () => {
    const before = await traces();
    const means: FreezeMeans = { by: 'trigger' };
    const parts = await frozen(means);
    await frozen(means);
    for (const write of WRITES) expect(await meets(write)).toMatch(/takes no writes while it is repaired$/);
    for (const write of WRITES) expect(await meets(write, role('owner'))).toMatch(/takes no writes/);
    expect(await meets(`INSERT INTO ${WHOLE} VALUES (3, 'a', 2, 'three')`)).toMatch(/"east ""1""" takes no writes/);
    expect(await meets(`UPDATE ${WHOLE} SET who = 'x' WHERE region = 'a'`)).toMatch(/takes no writes/);
    expect(
      await meets(`INSERT INTO ${NAME} VALUES (3, 'a', 2, 'three')`, `NONE; SET session_replication_role TO replica`),
    ).toMatch(/takes no writes/);
    expect(await open(means)).toEqual([]);
    await database.query(`CREATE TABLE "Ville ""A""".later PARTITION OF ${NAME} FOR VALUES FROM (10) TO (20)`);
    expect(await open(means)).toEqual(['"Ville ""A""".later']);
    await database.query(`DROP TABLE "Ville ""A""".later`);
    // Others go on.
    expect(await meets(`INSERT INTO ${WHOLE} VALUES (4, 'c', 2, 'four')`)).toBe('done');
    expect(await meets(`SELECT FROM ${NAME}`)).toBe('done');
    await unfrozen(means, parts, true);
    expect(await meets(`TRUNCATE ${NAME}`)).toMatch(/takes no writes/);
    await unfrozen(means, parts);
    await unfrozen(means, parts);
    for (const write of WRITES) expect(await meets(write)).toBe('done');
    expect(await traces()).toEqual(before);
  });

  test('T4: a trigger of that name, or a schema that others can write, is refused and changes nothing', async () => {
    await database.query(`CREATE SCHEMA reprise_freeze; GRANT CREATE ON SCHEMA reprise_freeze TO ${role('app')}`);
    const before = await traces();
    await expect(frozen({ by: 'trigger' })).rejects.toMatchObject({ code: 'privilege-missing' });
    expect(await traces()).toEqual(before);
    await database.query('DROP SCHEMA reprise_freeze');
  });

  test('T4: by revoking from roles: rights of columns, options and rights that others got from them come back exactly', async () => {
    const before = await traces();
    const means: FreezeMeans = { by: 'revoke', roles: [role('app'), role('batch')] };
    const parts = await frozen(means);
    for (const write of WRITES) expect(await meets(write)).toMatch(/^permission denied/);
    expect(await open(means)).toEqual([]);
    expect(await meets(`INSERT INTO ${NAME} VALUES (3, 'a', 2, 'three')`, role('batch'))).toMatch(/^permission denied/);
    expect(await meets(`INSERT INTO ${EAST} (id, who) VALUES (3, 'three')`, role('batch'))).toMatch(
      /^permission denied/,
    );
    expect(await meets(`SELECT FROM ${NAME}`)).toBe('done');
    expect(await meets(WRITES[0] ?? '', role('owner'))).toBe('done');
    // Repeated it takes nothing more.
    expect((await frozen(means)).taken).toEqual([]);
    await unfrozen(means, parts);
    expect(await open(means)).toEqual([EAST, NAME].sort());
    expect(await traces()).toEqual(before);
    await unfrozen(means, parts);
    expect(await traces()).toEqual(before);
  });

  test('T4 T6: a table of the server itself is neither blocked nor repaired, whatever the configuration says', async () => {
    const refused = { code: 'capability-missing', message: expect.stringContaining('is of the server itself') };
    const before = await traces();
    for (const one of [
      { schema: 'pg_catalog', table: 'pg_class' },
      { schema: 'information_schema', table: 'sql_features' },
    ]) {
      const asked = { table: one, means: { by: 'revoke' as const, roles: ['PUBLIC'] } };
      await withClient(connection(), database.name, async (client) => {
        await expect(requireFreezable(client, asked)).rejects.toMatchObject(refused);
        await expect(freezeTable(client, asked, 'x', () => Promise.resolve())).rejects.toMatchObject(refused);
        await expect(readTableFacts(client, one)).rejects.toMatchObject(refused);
      });
    }
    expect(await traces()).toEqual(before);
  });

  test('T4: roles that write whatever is revoked are refused, and nothing is changed', async () => {
    await database.query(`GRANT INSERT ON ${EAST} TO ${role('group')}`);
    const before = await traces();
    for (const roles of [[role('owner')], [role('member')], ['postgres']])
      await expect(frozen({ by: 'revoke', roles })).rejects.toMatchObject({ code: 'privilege-missing' });
    await expect(frozen({ by: 'revoke', roles: ['nobody at all'] })).rejects.toMatchObject({ code: 'config-invalid' });
    expect(await traces()).toEqual(before);
    const means: FreezeMeans = { by: 'revoke', roles: [role('member'), role('group')] };
    const parts = await frozen(means);
    expect(await meets(`INSERT INTO ${EAST} VALUES (3, 'a', 2, 'x')`, role('member'))).toMatch(/^permission denied/);
    await unfrozen(means, parts);
    expect(await traces()).toEqual(before);
  });
});
