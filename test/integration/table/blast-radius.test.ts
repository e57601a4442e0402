import { readFile } from 'node:fs/promises';
import { beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import type { BlastRadiusView } from '../../../src/cli/terminal/blast-radius-text.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { answer, refusal } from '../../helpers/site-cli.js';
import { Site } from '../../helpers/site.js';

failOnLeakedProcesses();

let site: Site;
const named = ['mairie', 'mairie', 'metier.demandes_rdv'];

/** Runs statements in one transaction, and tells its id; `between` happens before its commit. */
async function transaction(statements: readonly string[], between?: () => Promise<unknown>): Promise<string> {
  const client = new pg.Client({ ...site.server, database: 'mairie' });
  await client.connect();
  try {
    await client.query('BEGIN');
    const { rows } = await client.query<{ xid: string }>('SELECT pg_current_xact_id()::text AS xid');
    for (const statement of statements) await client.query(statement);
    await between?.();
    await client.query('COMMIT');
    return rows[0]?.xid ?? '';
  } finally {
    await client.end();
  }
}

const change = (motif: string, ids: string): string =>
  `UPDATE metier.demandes_rdv SET motif = '${motif}' WHERE id IN (${ids})`;

let bad: string;
const later: string[] = [];
let emptied: string;
let moved: string;
const movers: string[] = [];
let found: BlastRadiusView;

beforeAll(async () => {
  site = await Site.create();
  await site.query(
    `CREATE TABLE metier.pieces (id int PRIMARY KEY, demande int REFERENCES metier.demandes_rdv ON DELETE CASCADE);
     INSERT INTO metier.pieces SELECT id, id FROM metier.demandes_rdv WHERE id BETWEEN 101 AND 108;
     CREATE TABLE metier."Autre ""table" (id int PRIMARY KEY);
     INSERT INTO metier."Autre ""table" SELECT generate_series(1, 10)`,
  );
  // In the driver's own reading, a time in this style is none.
  await site.query('ALTER ROLE postgres SET "DateStyle" TO German');
  await site.startWorker();
  await site.backUp('physical');
  // A citizen who was there before it, and is done after it, comes later.
  bad = await transaction(
    [
      'DELETE FROM metier.demandes_rdv WHERE id BETWEEN 101 AND 104',
      'SAVEPOINT one',
      change('WRONG', '201, 202, 203, 204, 205, 206'),
      'RELEASE one',
      'SAVEPOINT two',
      change('never', '301, 302'),
      'ROLLBACK TO two',
      "INSERT INTO metier.demandes_rdv (id, commune, pris_le, motif) OVERRIDING SYSTEM VALUE VALUES (900001, '00001', now(), 'phantom')",
    ],
    async () => void later.push(await transaction([change('meanwhile', '401')])),
  );
  later.length = 0;
  later.push(await transaction([change('again', '201, 202, 203')]));
  // Twice in one transaction counts once, and what is rolled back not at all.
  later.push(
    await transaction([
      change('third', '201'),
      'SAVEPOINT s',
      change('no', '204'),
      'ROLLBACK TO s',
      change('fourth', '201'),
    ]),
  );
  await transaction([
    'DELETE FROM metier.demandes_rdv WHERE id = 202',
    'UPDATE metier.pieces SET id = 201 WHERE id = 105',
  ]);
  await site.query(`BEGIN; ${change('rolled back', '205')}; ROLLBACK`);
  // The places of versions that are gone are used again by other rows.
  await site.query('VACUUM metier.demandes_rdv');
  // By COPY, whose records name no places up to PostgreSQL 15.
  await site.query(
    `COPY metier.demandes_rdv (commune, pris_le, motif) FROM PROGRAM $$seq 50 | sed 's/^/00001\t2026-11-21\tcommitted /'$$`,
  );
  await site.query("UPDATE metier.demandes_rdv SET motif = 'of others' WHERE motif LIKE 'committed %'");
  await site.query(
    "INSERT INTO metier.demandes_rdv (id, commune, pris_le, motif) OVERRIDING SYSTEM VALUE VALUES (103, '00001', now(), 'new')",
  );
  await site.query('INSERT INTO metier.pieces VALUES (1000, 900001), (1001, 206)');
  // Rows that change their partition are the same rows: twice, back again, and rolled back.
  await site.query(
    `CREATE TABLE metier.places (id int, place int, note text, PRIMARY KEY (id, place)) PARTITION BY LIST (place);
     CREATE TABLE metier.place_1 PARTITION OF metier.places FOR VALUES IN (1);
     CREATE TABLE metier.place_2 PARTITION OF metier.places FOR VALUES IN (2) PARTITION BY LIST (place);
     CREATE TABLE metier.place_2a PARTITION OF metier.place_2 FOR VALUES IN (2);
     ALTER TABLE metier.place_2a ALTER note SET STORAGE EXTERNAL;
     CREATE TABLE metier.place_3 PARTITION OF metier.places FOR VALUES IN (3);
     INSERT INTO metier.places SELECT n, 1, 'x' FROM generate_series(1, 20) n`,
  );
  moved = await transaction(["UPDATE metier.places SET note = 'WRONG' WHERE id <= 10"]);
  movers.push(
    await transaction(["UPDATE metier.places SET place = 2, note = repeat('long', 2000) WHERE id IN (1, 2, 15)"]),
  );
  await site.query('BEGIN; UPDATE metier.places SET place = 3 WHERE id IN (2, 3); ROLLBACK');
  movers.push(
    await transaction([
      'UPDATE metier.places SET place = 3 WHERE id = 1',
      "UPDATE metier.places SET note = 'y' WHERE id IN (1, 15)",
    ]),
  );
  movers.push(await transaction(["UPDATE metier.places SET note = 'z' WHERE id IN (1, 3, 4, 5, 6)"]));
  emptied = await transaction(['TRUNCATE metier."Autre ""table"']);
  await site.query('INSERT INTO metier."Autre ""table" VALUES (3), (77)');
  await site.closeSegment();
});

describe('M3: reprise table blast-radius', () => {
  it('M3: what a transaction did, who touched its rows since, and what each way back would lose', async () => {
    found = await answer<BlastRadiusView>(site, 'table', 'blast-radius', ...named, '--xid', bad);
    expect(found).toMatchObject({ xid: bad, exact: true, notes: [] });
    expect(
      found.transaction?.tables.map(({ table, inserted, updated, deleted }) => [table, inserted, updated, deleted]),
    ).toEqual([
      ['demandes_rdv', 1, 6, 4],
      ['pieces', 0, 0, 4],
    ]);
    expect(found.later).toMatchObject({ followed: 7, rows: 3, more: 0, atLeast: false, missing: [] });
    // Most rows first: three, then one that was touched twice, then one that was deleted.
    expect(found.later.transactions.map(({ rows }) => rows)).toEqual([3, 1, 1]);
    expect(found.later.transactions.slice(0, 2).map(({ xid }) => xid)).toEqual(later);
    // Of this table: two updates and a deletion, two of other rows, and one that came back.
    expect(found.later.table).toEqual({ transactions: 6, inserted: 51, updated: 55, deleted: 1 });
    expect(found.later.database.transactions).toBe(14);
    expect(found.undo).toMatchObject({
      changes: { insert: 3, update: 3, conflicts: 5, delete: 0 },
      reasons: { 'changed-since': 2, 'deleted-since': 1, 'there-again': 1, referenced: 1 },
    });
    expect(found.conflicts.map(({ key, did, conflict }) => [key[0], did, conflict]).toSorted()).toEqual([
      ['103', 'deleted', 'there-again'],
      ['201', 'updated', 'changed-since'],
      ['202', 'updated', 'deleted-since'],
      ['203', 'updated', 'changed-since'],
      ['900001', 'inserted', 'referenced'],
    ]);
    expect(found.references).toEqual([
      { table: { schema: 'metier', table: 'pieces' }, columns: ['demande'], onDelete: 'c', rows: 2 },
    ]);
    expect(found.ways.map(({ way, loses }) => [way, loses.transactions])).toEqual([
      ['undo', 0],
      ['replace', 6],
      ['recover', 14],
    ]);
    // Rows are on the host alone, for its owner.
    expect(JSON.parse(await readFile(found.file.path, 'utf8'))).toMatchObject({ key: ['id'] });
    expect(await site.leftovers()).toEqual({ databases: [], files: [], processes: [] });
  });

  it('M3: rows are followed into other partitions, from version to version', async () => {
    const places = ['mairie', 'mairie', 'metier.places'];
    const { later: since, notes } = await answer<BlastRadiusView>(
      site,
      'table',
      'blast-radius',
      ...places,
      '--xid',
      moved,
    );
    expect(notes.filter((note) => note.includes('partition'))).toEqual([]);
    expect(since).toMatchObject({ followed: 10, rows: 6, missing: [] });
    const [first = '', second = '', third = ''] = movers;
    expect(new Map(since.transactions.map(({ xid, rows }) => [xid, rows]))).toEqual(
      new Map([
        [first, 2],
        [second, 1],
        [third, 5],
      ]),
    );
  });

  it('M3: each command can be typed as it is, and the figures of the first are those of its plan', async () => {
    const [undo, , recover] = found.ways.map(({ command }) => command.split(' ').slice(1));
    type Planned = { plan: { binding: { changes: object }; observed: { warnings: readonly string[] } } };
    const { plan } = await answer<Planned>(site, ...(undo ?? []), '--dry-run');
    // T6: what happened to rows of other tables, and what would happen to them, is said with what to do; a repair never changes them.
    const also = (text: string): unknown => expect.stringContaining(text);
    expect(plan.observed.warnings).toEqual(
      expect.arrayContaining([
        also(
          `metier.pieces too (0 inserted, 0 updated, 4 deleted), which this repair leaves alone; its rows refer to rows of this table, so put that right after this: reprise table repair mairie mairie metier.pieces --xid ${bad}`,
        ),
        also('stay because others refer to them: 1; rows of metier.pieces (demande) that refer to them: 1,'),
      ]),
    );
    expect(plan.binding.changes).toMatchObject(found.undo.changes ?? {});
    await answer(site, ...(recover ?? []), '--dry-run');
  });

  it('M3: a table that was emptied is compared as a whole, under a name that has to be quoted', async () => {
    const table = ['mairie', 'mairie', 'metier."Autre ""table"'];
    const whole = await answer<BlastRadiusView>(site, 'table', 'blast-radius', ...table, '--xid', emptied);
    expect(whole).toMatchObject({ exact: false, undo: { changes: { insert: 9, conflicts: 0 } } });
    expect(whole.transaction?.actions).toMatchObject([{ action: 'truncated', table: 'Autre "table' }]);
    expect(whole.ways[0]?.command).toBe(`reprise table repair mairie mairie 'metier."Autre ""table"' --xid ${emptied}`);
  });

  it('M3: a transaction that is not there, or no number, is refused with what to do', async () => {
    expect(await refusal(site, 'table', 'blast-radius', ...named, '--xid', '4000000')).toMatchObject({
      code: 'not-found',
    });
    expect(await refusal(site, 'table', 'blast-radius', ...named, '--xid', 'all')).toMatchObject({ exit: 2 });
  });
});
