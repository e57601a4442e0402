import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { runInspection } from '../../../src/client/inspect.js';
import { openTemporaryInstances } from '../../../src/records/temporary-instances.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { Site } from '../../helpers/site.js';
import { answer, approved, planned, statusOf } from '../../helpers/site-cli.js';

failOnLeakedProcesses();

let site: Site;
/** Just before the appointments were deleted. */
let before: string;

beforeAll(async () => {
  site = await Site.create();
  await site.query('CREATE DATABASE caisse', 'postgres');
  await site.query('CREATE TABLE ticket (id int PRIMARY KEY, total numeric)', 'caisse');
  await site.query('INSERT INTO ticket SELECT n, n FROM generate_series(1, 100) n', 'caisse');
  await site.query('CREATE TABLE metier.parked AS SELECT n FROM generate_series(1, 5) n');
  await site.startWorker();
  await site.backUp('physical');
  await site.commit();
  // A migration under way at the instant: whoever stops there meets its lock, which nobody would release.
  const migration = new pg.Client({ ...site.server, database: 'mairie' });
  await migration.connect();
  await migration.query('BEGIN; TRUNCATE metier.parked');
  await site.commit();
  const { rows } = await site.query(
    `SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS before`,
  );
  before = (rows[0] as { before: string }).before;
  await migration.query('COMMIT');
  await migration.end();
  await site.query('DELETE FROM metier.demandes_rdv WHERE id % 2 = 0');
  await site.query('INSERT INTO ticket SELECT n, n FROM generate_series(101, 150) n', 'caisse');
  await site.query("SELECT pg_logical_emit_message(true, 'test', 'something to archive')");
  await site.closeSegment();
  await site.waitFor(async () => {
    const { windows } = await runInspection<'wal'>(site.session, { kind: 'wal', cluster: 'mairie' });
    return windows.every(({ newest }) => (newest ?? '') > before);
  }, 'the WAL is archived');
});

const count = async (table: string, database: string): Promise<number> =>
  ((await site.query(`SELECT count(*)::int AS n FROM ${table}`, database)).rows[0] as { n: number }).n;

describe('M2: one database of a physical backup to an instant', () => {
  it('M2: by plan and approval, beside and swapped by rename; the other database keeps what was written since, and no temporary instance is left', async () => {
    const oid = async (): Promise<unknown> =>
      (await site.query("SELECT oid FROM pg_database WHERE datname = 'caisse'", 'postgres')).rows;
    const other = await oid();
    const started = await planned(site, '--database', 'mairie', '--policy', 'physical', '--to', before);
    expect(started.plan.binding).toMatchObject({
      ...{ method: 'databases', through: 'temporary-instance', policy: 'physical', restoreAs: 'unprivileged' },
      target: { kind: 'time', time: before },
      stopsAt: { kind: 'lsn' },
      replaces: [{ what: 'database mairie' }],
      backups: [{ database: 'mairie' }],
    });
    const dryRun = await site.cli(
      ...['recover', 'mairie', '--database', 'mairie', '--policy', 'physical', '--to', before, '--dry-run'],
    );
    expect(dryRun.stdout).toContain('one database to an instant');
    expect(await count('metier.demandes_rdv', 'mairie')).toBe(1510);
    // Written while the plan waits.
    await site.query('INSERT INTO ticket VALUES (151, 151)', 'caisse');
    await approved(site, started);
    const result = await site.waitFor(async () => {
      const { state, waitingFor } = await statusOf(site, started.workflowId);
      if (state === 'failed' || state === 'paused') throw new Error(`${state}: ${waitingFor}`);
      return state === 'completed' ? state : null;
    }, 'the recovery is carried out');
    expect(result).toBe('completed');
    expect(await count('metier.demandes_rdv', 'mairie')).toBe(3020);
    expect(await count('metier.parked', 'mairie')).toBe(5);
    expect([await count('ticket', 'caisse'), await oid()]).toEqual([151, other]);
    const { rows } = await site.query("SELECT datname FROM pg_database WHERE datname LIKE 'mairie%'", 'postgres');
    expect(rows).toHaveLength(2);
    const { kept } = await answer<{ kept: { what: string }[] }>(site, 'kept', 'list');
    expect(kept.map(({ what }) => what)).toEqual(['old database mairie']);
    expect(await openTemporaryInstances(site.places.stateDir).all()).toEqual([]);
    const scratch = await readdir(join(site.places.stateDir, 'scratch'));
    expect(scratch.filter((name) => /^(explore|pristine)-/.test(name))).toEqual([]);
    const { recoveries } = await answer<{ recoveries: { result: string; target: { reached: string | null } }[] }>(
      ...[site, 'recover', 'list', 'mairie'],
    );
    expect(recoveries[0]).toMatchObject({ result: 'recovered', target: { reached: expect.stringContaining(before) } });
  });
});
