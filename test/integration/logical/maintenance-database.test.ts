import { beforeAll, expect, it } from '@jest/globals';
import type { Backup } from '../../../src/domain/backup/backup.js';
import type { ConnectionConfig } from '../../../src/domain/config.js';
import { databaseMark, newDatabaseName, oldDatabaseName } from '../../../src/domain/plan/recovery-place.js';
import { logicalEngine } from '../../../src/engines/logical/logical-engine.js';
import { withClient, withMaintenance } from '../../../src/postgres/connection/with-client.js';
import { dropOldData, markOfOldData } from '../../../src/postgres/old-data/drop-old-data.js';
import { swapDatabases } from '../../../src/postgres/old-data/swap-databases.js';
import { makeGround } from '../../contract/engine-fixture.js';
import type { Ground } from '../../contract/engine-fixture.js';
import { asBackup } from '../../contract/engine-suite.js';
import { bound } from '../../helpers/bound.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { runQuery, startScratchCluster } from '../../helpers/postgres.js';
import type { ScratchCluster } from '../../helpers/postgres.js';

failOnLeakedProcesses();

let server: ScratchCluster;
let ground: Ground;
let backups: readonly Backup[];
let connection: ConnectionConfig;

beforeAll(async () => {
  server = await startScratchCluster();
  for (const database of ['postgres', 'template1'])
    await runQuery(server, database, `CREATE TABLE t (x int); INSERT INTO t SELECT generate_series(1, 5)`);
  ground = await makeGround(server, 'logical', { restoreJobs: 1 }, { databases: ['postgres', 'template1'] });
  const context = await ground.context('backup');
  const made = await logicalEngine.backup(context, { type: 'full', startedAt: '2026-11-21T02:15:00Z' });
  backups = made.map((one) => asBackup(one));
  ({ connection } = context.cluster);
});

const rowsIn = (database: string): Promise<number> =>
  withClient(connection, database, async (client) => (await client.query('SELECT FROM public.t')).rowCount ?? 0);

/** Restores beside and swaps, as a recovery in place does. */
async function recover(database: string, operationId: string): Promise<string> {
  const context = await ground.context(operationId);
  const backup = backups.find((one) => one.database === database);
  if (backup === undefined) throw new Error(`no backup of ${database}`);
  const [fresh, oldData] = [newDatabaseName(database, operationId), oldDatabaseName(database, operationId)];
  await logicalEngine.logical?.restoreDatabase(context, {
    ...(await bound(logicalEngine, context, backup)),
    ...{ intoDatabase: fresh, connection },
  });
  await swapDatabases(connection, { live: database, fresh, oldData, mark: databaseMark(operationId) });
  return oldData;
}

it.each(['postgres', 'template1'])(
  'R9: data in database %s is recovered in place, from another database, and what it replaced can be dropped',
  async (database) => {
    await runQuery(server, database, 'DELETE FROM t');
    const outline = await logicalEngine.outlineRecovery(await ground.context('outline'), {
      ...{ target: { kind: 'latest' }, candidates: backups, oldDataDir: null, databases: [database] },
    });
    const isConnectedTo = expect.stringContaining('is the database that Reprise connects to');
    expect(outline.warnings).toEqual(database === 'postgres' ? [isConnectedTo] : []);
    const where = await recover(database, `op-${database}`);
    expect(await rowsIn(database)).toBe(5);
    const mark = await markOfOldData(where, connection);
    expect(mark).not.toBeNull();
    await dropOldData({ where, mark }, connection);
    expect(await markOfOldData(where, connection)).toBeNull();
  },
);

it('R9: a maintenance database that is lost is recovered like any other; where nobody can connect elsewhere, the plan says so', async () => {
  await runQuery(server, 'template1', 'DROP DATABASE postgres');
  expect(await withMaintenance(connection, async (client) => (await client.query('SELECT 1')).rowCount)).toBe(1);
  await recover('postgres', 'op-lost');
  expect(await rowsIn('postgres')).toBe(5);
  await expect(withClient(connection, 'gone', async () => undefined)).rejects.toMatchObject({ code: 'not-found' });

  await runQuery(server, 'postgres', 'ALTER DATABASE template1 ALLOW_CONNECTIONS false');
  await expect(
    logicalEngine.outlineRecovery(await ground.context('closed'), {
      ...{ target: { kind: 'latest' }, candidates: backups, oldDataDir: null, databases: ['postgres'] },
    }),
  ).rejects.toMatchObject({ code: 'conflict', hint: expect.stringContaining('connection.maintenance_database') });
});
