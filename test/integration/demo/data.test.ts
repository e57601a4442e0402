import { beforeAll, describe, expect, it } from '@jest/globals';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type pg from 'pg';
import { runBusiness } from '../../../src/demo/business/client.js';
import { readLog } from '../../../src/demo/business/log.js';
import { compareContents, isAsExpected } from '../../../src/demo/compare.js';
import { createCluster, fillCluster } from '../../../src/demo/cluster.js';
import { initialContents } from '../../../src/demo/data/initial.js';
import type { InitialContents } from '../../../src/demo/data/initial.js';
import { DATABASE, LARGE_OBJECT_OID, OWNER_ROLE } from '../../../src/demo/data/schema.js';
import type { Loss } from '../../../src/demo/loss.js';
import { Owned } from '../../../src/demo/owned.js';
import { makeScratch } from '../../../src/demo/scratch.js';
import type { Scratch } from '../../../src/demo/scratch.js';
import { withClient } from '../../../src/postgres/connection/with-client.js';
import { onCleanup } from '../../helpers/cleanup.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { tempDir } from '../../helpers/temp.js';

failOnLeakedProcesses();

let scratch: Scratch;
let initial: InitialContents;
const loss: Loss = { kind: 'data-files', killedAt: '2026-11-21T08:00:00.000Z', removed: [], lastArchived: null };

async function run<T extends pg.QueryResultRow>(sql: string): Promise<readonly T[]> {
  return withClient(scratch.connection, DATABASE, async (client) => (await client.query<T>(sql)).rows);
}
const compare = async () => compareContents(scratch, initial, loss);
const unlike = async () => (await compare()).tables.filter(({ match }) => !match).map(({ name }) => name);

beforeAll(async () => {
  const parent = await tempDir('demo');
  const owned = new Owned();
  onCleanup(() => owned.removeAll());
  scratch = await makeScratch(parent);
  owned.place(scratch);
  initial = await initialContents(20_000);
  await createCluster(scratch);
  await fillCluster(scratch, initial);
  await writeFile(scratch.clientLog, '');
});

describe('data of the demo in a real PostgreSQL', () => {
  it('are what was computed without a database, table by table and in the large object', async () => {
    const { tables } = await compare();
    expect(tables).toContainEqual({ name: 'metier.demandes_rdv', rows: 20_000, match: true });
    expect(tables).toContainEqual({ name: 'referentiel.communes', rows: 34_969, match: true });
    expect(tables).toContainEqual({ name: 'pg_catalog.pg_largeobject', rows: 1, match: true });
    expect(tables.filter(({ match }) => !match)).toEqual([]);
  });

  it('hold what a backup may lose: an identity column, foreign keys, an index, a view, a setting, an owner', async () => {
    expect(
      await run(
        "SELECT attidentity FROM pg_attribute WHERE attrelid = 'metier.demandes_rdv'::regclass AND attname = 'id'",
      ),
    ).toEqual([{ attidentity: 'a' }]);
    expect(
      await run(
        "SELECT count(*)::int AS n FROM pg_constraint WHERE contype = 'f' AND conrelid = 'metier.demandes_rdv'::regclass",
      ),
    ).toEqual([{ n: 2 }]);
    expect(await run("SELECT count(*)::int AS n FROM pg_indexes WHERE indexname = 'demandes_rdv_commune'")).toEqual([
      { n: 1 },
    ]);
    expect(await run('SELECT sum(demandes)::int AS n FROM metier.rdv_par_departement')).toEqual([{ n: 20_000 }]);
    expect(
      await run(
        `SELECT setconfig::text FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase WHERE datname = '${DATABASE}'`,
      ),
    ).toEqual([{ setconfig: '{"search_path=metier, referentiel, public"}' }]);
    expect(await run("SELECT tableowner FROM pg_tables WHERE schemaname = 'metier' GROUP BY 1")).toEqual([
      { tableowner: OWNER_ROLE },
    ]);
  });
});

describe('the comparison', () => {
  it('sees one changed value among thousands of rows', async () => {
    const motif = initial.rows.get('metier.demandes_rdv')?.find(([id]) => id === '17')?.[7];
    expect(motif).toEqual(expect.any(String));
    await run('UPDATE metier.demandes_rdv SET motif = NULL WHERE id = 17');
    expect(await unlike()).toEqual(['metier.demandes_rdv']);
    await withClient(scratch.connection, DATABASE, (client) =>
      client.query('UPDATE metier.demandes_rdv SET motif = $1 WHERE id = 17', [motif]),
    );
    expect(await unlike()).toEqual([]);
  });

  it('sees an extra row, a changed name and one byte of a large object', async () => {
    await run("UPDATE metier.services SET nom = 'Voiries' WHERE id = 9");
    await run(`SELECT lo_put(${LARGE_OBJECT_OID}, 5000, '\\x00')`);
    await run("INSERT INTO metier.pieces_jointes VALUES (2, 'intrus', 1)");
    expect(await unlike()).toEqual(['metier.services', 'metier.pieces_jointes', 'pg_catalog.pg_largeobject']);
    await run("UPDATE metier.services SET nom = 'Voirie' WHERE id = 9");
    await withClient(scratch.connection, DATABASE, (client) =>
      client.query('SELECT lo_put($1, 0, $2)', [LARGE_OBJECT_OID, initial.largeObject]),
    );
    await run('DELETE FROM metier.pieces_jointes WHERE id = 2');
    expect(await unlike()).toEqual([]);
  });

  it('follows the log of the business client, transaction by transaction, and sees one that is lost', async () => {
    const stop = new AbortController();
    const business = runBusiness(
      { connection: scratch.client, log: scratch.clientLog, paceMs: 1 },
      initial,
      stop.signal,
    );
    const committed = async () => (await readLog(scratch.clientLog)).filter(({ kind }) => kind === 'committed').length;
    while ((await committed()) < 60) await new Promise((later) => setTimeout(later, 20));
    stop.abort();
    await business;

    const after = await compare();
    expect(after).toMatchObject({ lost: [], unacknowledged: 0, upTo: await committed() });
    expect(isAsExpected(after)).toBe(true);

    // The last transaction inserted one appointment and one line: undone by hand, as if it had never arrived.
    await run('DELETE FROM metier.journal WHERE numero = (SELECT max(numero) FROM metier.journal)');
    const without = await compare();
    expect(without.lost).toEqual([after.upTo]);
    expect(without.tables.filter(({ match }) => !match).map(({ name }) => name)).toEqual(['metier.demandes_rdv']);
    expect(isAsExpected(without)).toBe(false);
  });

  it('F39: passwords made for the run stand in password files only', async () => {
    const texts = await Promise.all(
      [scratch.configFile, scratch.pgbackrestConf, scratch.clientLog, join(scratch.root, 'pgdata.log')].map((file) =>
        readFile(file, 'utf8').catch(() => ''),
      ),
    );
    for (const password of Object.values(scratch.passwords))
      expect(texts.filter((text) => text.includes(password))).toEqual([]);
  });
});
