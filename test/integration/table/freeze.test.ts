import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { keepFrozen, sweepFrozen } from '../../../src/activities/table/freeze.js';
import type { FreezeMeans } from '../../../src/domain/table/repair.js';
import type { TableName } from '../../../src/domain/table/table-name.js';
import { withClient } from '../../../src/postgres/connection/with-client.js';
import {
  freezeNewParts,
  type FrozenParts,
  freezeTable,
  openParts,
  type OwnParts,
  requireFreezable,
  unfreezeTable,
} from '../../../src/postgres/repair/freeze.js';
import { readTableFacts } from '../../../src/postgres/repair/table-facts.js';
import { openFrozenTables } from '../../../src/records/frozen-tables.js';
import { gateSite } from '../../unit/activities/gate-site.js';
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

async function frozen(means: FreezeMeans, of: TableName = table): Promise<FrozenParts> {
  let noted: FrozenParts = { oids: [], taken: [] };
  await withClient(connection(), database.name, (client) =>
    freezeTable(client, { table: of, means }, 'reprise/table-repair/x', (parts) => {
      noted = parts;
      return Promise.resolve();
    }),
  );
  return noted;
}

const unfrozen = (means: FreezeMeans, parts: OwnParts, isHeld = false, of: TableName = table): Promise<void> =>
  withClient(connection(), database.name, (client) =>
    unfreezeTable(client, { table: of, means }, () => Promise.resolve(isHeld ? null : parts)),
  );

/** Blocks what came since; `parts`: all that is frozen then, or null where nothing came. */
async function blockNew(
  means: FreezeMeans,
  known: FrozenParts,
): Promise<{ readonly names: readonly string[]; readonly parts: FrozenParts | null }> {
  const noted: FrozenParts[] = [];
  const note = (parts: FrozenParts): Promise<void> => {
    noted.push(parts);
    return Promise.resolve();
  };
  const names = await withClient(connection(), database.name, (client) =>
    freezeNewParts(client, { table, means }, 'reprise/table-repair/x', () => Promise.resolve(known), note),
  );
  return { names, parts: noted[0] ?? null };
}

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

  test('T4: a partition that comes meanwhile takes no writes either, and is open again with its table; what replaced the table is left alone', async () => {
    const [made, attached] = ['"Ville ""A""".later', '"Ville ""A""".attached'];
    const before = await traces();
    const means: FreezeMeans = { by: 'trigger' };
    let parts = await frozen(means);
    // By whoever owns the table, who has no right in our schema.
    await database.query(`SET ROLE ${role('owner')}; CREATE TABLE ${made} PARTITION OF ${NAME} FOR VALUES FROM (10) TO (20);
      CREATE TABLE ${attached} (id int, region text, place int, who text); INSERT INTO ${attached} VALUES (9, 'a', 21, 'nine');
      ALTER TABLE ${NAME} ATTACH PARTITION ${attached} FOR VALUES FROM (20) TO (30); RESET ROLE`);
    const writes = [
      `INSERT INTO ${made} VALUES (3, 'a', 12, 'three')`,
      `UPDATE ${attached} SET who = 'x'`,
      `DELETE FROM ${attached}`,
    ];
    for (const write of writes)
      for (const as of [role('owner'), 'NONE; SET session_replication_role TO replica'])
        expect(await meets(write, as)).toMatch(/takes no writes while it is repaired$/);
    // TRUNCATE of the new part alone is blocked by whoever looks after it.
    expect(await open(means)).toEqual([attached, made].sort());
    expect(await blockNew(means, { ...parts, oids: [0] })).toEqual({ names: [], parts: null });
    const added = await blockNew(means, parts);
    expect([...added.names].sort()).toEqual([attached, made].sort());
    parts = added.parts ?? parts;
    expect(await meets(`TRUNCATE ${attached}`, role('owner'))).toMatch(/takes no writes/);
    expect(await open(means)).toEqual([]);
    expect(await blockNew(means, parts)).toEqual({ names: [], parts: null });
    await unfrozen(means, parts);
    for (const write of [...writes, `TRUNCATE ${attached}`]) expect(await meets(write, role('owner'))).toBe('done');
    // The same where rights are revoked: those of the new part come back too.
    const revoke: FreezeMeans = { by: 'revoke', roles: [role('app')] };
    await database.query(`GRANT INSERT, TRUNCATE ON ${made} TO ${role('app')}`);
    parts = await frozen(revoke);
    await database.query(
      `CREATE TABLE "Ville ""A""".last PARTITION OF ${NAME} FOR VALUES FROM (30) TO (40); GRANT INSERT ON "Ville ""A""".last TO ${role('app')}`,
    );
    const more = await blockNew(revoke, parts);
    expect(more.names).toEqual(['"Ville ""A""".last']);
    const insert = `INSERT INTO "Ville ""A""".last VALUES (4, 'a', 31, 'four')`;
    expect(await meets(insert)).toMatch(/^permission denied/);
    await unfrozen(revoke, { oids: more.parts?.oids ?? [], taken: [...parts.taken, ...(more.parts?.taken ?? [])] });
    expect(await meets(insert)).toBe('done');
    expect(await meets(`INSERT INTO ${made} VALUES (3, 'a', 12, 'three')`)).toBe('done');
    await database.query(`DROP TABLE ${made}, ${attached}, "Ville ""A""".last`);
    expect(await traces()).toEqual(before);
  });

  test('T4: a partition that is frozen by itself stays so when its table is opened, and the other way round', async () => {
    const before = await traces();
    const means: FreezeMeans = { by: 'trigger' };
    const above = { schema: 'Ville "A"', table: 'everywhere' };
    const other = `INSERT INTO ${WHOLE} VALUES (4, 'c', 2, 'four')`;
    for (const [first, second, meanwhile] of [
      [above, table, /^done$/],
      [table, above, /takes no writes/],
    ] as const) {
      const ofFirst = await frozen(means, first);
      const ofSecond = await frozen(means, second);
      await unfrozen(means, { ...ofFirst, kept: ofSecond.oids }, false, first);
      for (const write of WRITES) expect(await meets(write)).toMatch(/takes no writes/);
      expect(await meets(other)).toMatch(meanwhile);
      await unfrozen(means, ofSecond, false, second);
      for (const write of [...WRITES, other]) expect(await meets(write)).toBe('done');
    }
    expect(await traces()).toEqual(before);
  });

  test('T4: a host blocks new partitions of what its operations keep frozen, and an operation that ends leaves what another one needs', async () => {
    const before = await traces();
    const { session, deps } = await gateSite();
    const host = deps();
    for (const one of [session.cluster, host.config.clusters['mairie']])
      Object.assign(one ?? {}, { connection: connection() });
    const tables = openFrozenTables(session.host.stateDir);
    const means: FreezeMeans = { by: 'revoke', roles: [role('app')] };
    const east = { schema: 'Ville "A"', table: 'east "1"' };
    const save = async (operationId: string, of: TableName, as: FreezeMeans): Promise<void> =>
      tables.save({
        ...{ cluster: 'mairie', operationId, workflowId: `table-repair/mairie/${operationId}`, firstRunId: null },
        ...{ database: database.name, table: of, means: as, at: '2026-11-21T02:15:00.000Z' },
        ...(await frozen(as, of)),
      });
    const closed =
      (...ended: string[]) =>
      async ({ workflowId }: { readonly workflowId: string }) =>
        ended.some((one) => workflowId.endsWith(one));
    await save('op-1', table, means);
    await save('op-2', east, means);
    await save('op-3', table, { by: 'trigger' });
    await database.query(`CREATE TABLE "Ville ""A""".later PARTITION OF ${NAME} FOR VALUES FROM (10) TO (20);
      GRANT INSERT, TRUNCATE ON "Ville ""A""".later TO ${role('app')}`);
    await keepFrozen(host, closed());
    expect(await meets(`INSERT INTO "Ville ""A""".later VALUES (3, 'a', 12, 'three')`)).toMatch(/^permission denied/);
    expect(await meets(`TRUNCATE "Ville ""A""".later`, 'NONE')).toMatch(/takes no writes/);
    expect(await sweepFrozen(session, closed('op-1', 'op-3'))).toEqual(expect.arrayContaining(['op-1', 'op-3']));
    for (const write of [`TRUNCATE "Ville ""A""".later`, WRITES[0] ?? '']) expect(await meets(write)).toBe('done');
    expect(await meets(`DELETE FROM ${EAST}`)).toMatch(/^permission denied/);
    expect(await sweepFrozen(session, closed('op-2'))).toEqual(['op-2']);
    expect(await tables.all()).toEqual([]);
    await database.query(`DROP TABLE "Ville ""A""".later`);
    for (const write of WRITES) expect(await meets(write)).toBe('done');
    expect(await traces()).toEqual(before);
    const texts = (await session.catalogue.records()).flatMap((one) => (one.kind === 'journal' ? [one.text] : []));
    expect(texts).toContain('writes to "Ville ""A""".later, which came since, are blocked too');
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
