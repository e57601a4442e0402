import { expect, it } from '@jest/globals';
import type { RotateOutput } from '../../../src/domain/retention/retention.js';
import type { WalTransactionsAnswer } from '../../../src/domain/operation/wal-transactions.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { runQuery } from '../../helpers/postgres.js';
import { startVersity } from '../../helpers/s3-servers.js';
import { Site } from '../../helpers/site.js';
import { answer, approved, planned, reaches, refusal, type Started } from '../../helpers/site-cli.js';
import { renamedFunctions, walgOnS3, walgPolicy } from '../../helpers/walg.js';

failOnLeakedProcesses();

const TABLE = ['mairie', 'mairie', 'metier.demandes_rdv'];

interface Shown {
  readonly id: string;
  readonly connection: string | null;
}

it('M1, M2, M3, M4, T2: with WAL-G on S3 (TLS) a copy stands before a transaction and goes on, the transaction is named, compared and undone, and one database is recovered', async () => {
  const s3 = await startVersity();
  const env = await walgOnS3(s3, await s3.bucket('time-machine'));
  const { physical } = await walgPolicy(env);
  const site = await Site.create({ physical, retention: '{ count: 1, min_proven: 1 }' });
  const value = async (sql: string): Promise<string> => {
    const { rows } = await site.query(`SELECT (${sql})::text AS value`);
    return (rows[0] as { value: string }).value;
  };
  const rows = async (): Promise<number> => Number(await value('SELECT count(*) FROM metier.demandes_rdv'));
  await site.query(renamedFunctions, 'postgres');
  await site.startWorker();
  await site.backUp('physical');
  const good = await site.commit();
  const before = await site.contentHash();
  const from = await value(`to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`);
  const { rows: deleted } = await site.query(
    `WITH gone AS (DELETE FROM metier.demandes_rdv WHERE id % 2 = 0 RETURNING id)
     SELECT pg_current_xact_id()::text AS xid, count(*)::int AS gone FROM gone`,
  );
  const [{ xid, gone } = { xid: '', gone: 0 }] = deleted as { xid: string; gone: number }[];
  const now = await site.commit(7);
  await site.archiveSegment();

  // M3: by the archive.
  const { transactions } = await answer<WalTransactionsAnswer>(
    ...[site, 'wal', 'transactions', 'mairie', '--from', from, '--min-rows', '100'],
  );
  expect(transactions).toMatchObject([{ xid, deleted: gone, inserted: 0, updated: 0 }]);

  // M1: before it, after it, to the last commit, and not back.
  const opened = await answer<Shown>(site, 'explore', 'start', 'mairie', '--to', `before-xid:${xid}`);
  const seen = async ({ connection }: Shown): Promise<number> => {
    const host = /host=(\S+)/.exec(connection ?? '')?.[1] ?? '';
    const copy = { host, port: 5432, user: 'postgres', socketDir: host };
    const { rows: found } = await runQuery(copy, 'mairie', 'SELECT count(*)::int AS n FROM metier.demandes_rdv');
    return (found[0] as { n: number }).n;
  };
  expect(await seen(opened)).toBe(good);
  const move = (to: string): Promise<Shown> => answer<Shown>(site, 'explore', 'retarget', opened.id, '--to', to);
  expect(await seen(await move(`xid:${xid}`))).toBe(good - gone);
  // B3: its backup expires meanwhile. This WAL-G removes nothing that is newer than it, and the nightly run succeeds all the same.
  await site.backUp('physical', 'full');
  const { rotation } = await site.backUp('physical', 'full');
  expect(rotation?.removed).toEqual([]);
  expect(rotation?.keep.map(({ reason }) => reason)).toEqual([
    expect.stringContaining('newest'),
    'in use',
    expect.stringContaining('deletes only what is older than'),
  ]);
  // A dry run says the same.
  const preview = await answer<RotateOutput>(site, 'rotate', 'mairie', '--policy', 'physical', '--dry-run');
  expect([preview.keep, preview.remove]).toEqual([rotation?.keep, []]);
  expect(await seen(await move('latest'))).toBe(now);
  expect(await refusal(site, 'explore', 'retarget', opened.id, '--to', `xid:${xid}`)).toMatchObject({
    code: 'target-before-backup',
  });
  await answer(site, 'explore', 'drop', opened.id);

  // T2, M4: what differs, and the way back.
  const compared = await answer<object>(site, 'table', 'compare', ...TABLE, '--to', `before-xid:${xid}`);
  expect(compared).toMatchObject({ missing: gone, changed: 0, extra: 7, same: good - gone });
  const repair = await answer<Started>(site, 'table', 'repair', ...TABLE, '--xid', xid, '--detach');
  await approved(site, repair);
  await reaches(site, repair.workflowId, 'completed');
  expect(await rows()).toBe(good + 7);

  // M2: the database as it was, with what it was before.
  const recovery = await planned(site, '--database', 'mairie', '--policy', 'physical', '--to', `before-xid:${xid}`);
  await approved(site, recovery);
  await reaches(site, recovery.workflowId, 'completed');
  expect(await site.contentHash()).toEqual(before);
  expect(await site.leftovers()).toEqual({ databases: [], files: [], processes: [] });
  // Before the storage: its archiver would wait for it.
  await site.remove();
});
