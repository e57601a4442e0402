import { copyFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, it } from '@jest/globals';
import type { Backup } from '../../../src/domain/backup/backup.js';
import type { EngineContext } from '../../../src/engines/engine.js';
import { logicalEngine } from '../../../src/engines/logical/logical-engine.js';
import { withMaintenance } from '../../../src/postgres/connection/with-client.js';
import { databaseProperties } from '../../../src/postgres/content/database-properties.js';
import { reconcile } from '../../../src/records/reconcile.js';
import { makeGround } from '../../contract/engine-fixture.js';
import type { Ground } from '../../contract/engine-fixture.js';
import { onlyBackup } from '../../contract/engine-suite.js';
import { bound } from '../../helpers/bound.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { runQuery, startScratchCluster } from '../../helpers/postgres.js';
import type { ScratchCluster } from '../../helpers/postgres.js';

failOnLeakedProcesses();

let source: ScratchCluster;
let target: ScratchCluster;
let ground: Ground;
let backup: Backup;

beforeAll(async () => {
  source = await startScratchCluster({ version: 15 });
  // The smallest table of locks that PostgreSQL takes.
  target = await startScratchCluster({
    version: 15,
    settings: { max_locks_per_transaction: 10, max_connections: 10, max_wal_senders: 2 },
    unrelated: true,
  });
  for (const sql of [
    'CREATE ROLE own; CREATE ROLE setter; GRANT SET ON PARAMETER log_min_messages TO setter WITH GRANT OPTION',
    'GRANT ALTER SYSTEM ON PARAMETER work_mem TO setter',
    'CREATE DATABASE app OWNER own IS_TEMPLATE true',
    'REVOKE CREATE, TEMPORARY ON DATABASE app FROM own; REVOKE ALL ON DATABASE app FROM PUBLIC',
    `SET allow_system_table_mods = on;
     INSERT INTO pg_shseclabel SELECT oid, 'pg_database'::regclass, 'dummy', 'secret' FROM pg_database WHERE datname = 'app';
     INSERT INTO pg_shseclabel VALUES ('setter'::regrole, 'pg_authid'::regclass, 'dummy', 'it''s secret')`,
  ])
    await runQuery(source, 'postgres', sql);
  await runQuery(
    source,
    'app',
    `DO $$ BEGIN FOR n IN 1..150 LOOP EXECUTE format('CREATE TABLE many_%s (i int)', n); END LOOP; END $$`,
  );
  ground = await makeGround(source, 'logical', { restoreJobs: 1 }, { databases: ['app'] });
  const context = await ground.context('backup');
  backup = onlyBackup(await logicalEngine.backup(context, { type: 'full', startedAt: '2026-11-21T02:15:00Z' }));
});

/** On the other server. */
async function elsewhere(operationId: string): Promise<EngineContext> {
  const context = await ground.context(operationId);
  return {
    ...context,
    cluster: { ...context.cluster, connection: { ...context.cluster.connection, port: target.port } },
  };
}

const outline = async (context: EngineContext, candidates: readonly Backup[] = [backup]) =>
  logicalEngine.outlineRecovery(context, {
    ...{ target: { kind: 'latest' }, candidates, oldDataDir: null, databases: ['app'] },
  });

it('R14: a server whose table of locks is too small is refused in the plan, with the value that is enough', async () => {
  await expect(outline(await elsewhere('small'))).rejects.toMatchObject({
    code: 'lock-table-full',
    message: expect.stringContaining('150 tables'),
    hint: expect.stringContaining('set max_locks_per_transaction = 30'),
  });
  await target.configure({ max_locks_per_transaction: 30 });
  await target.stop();
  await target.start();
  await expect(outline(await elsewhere('enough'))).resolves.toMatchObject({ backups: [backup] });
});

it('R14: template, rights that the owner gave up, and rights on parameters come back; a label that cannot is told', async () => {
  const context = await elsewhere('restore');
  const order = { ...(await bound(logicalEngine, context, backup)), connection: context.cluster.connection };
  expect(await logicalEngine.logical?.restoreGlobals(context, order)).toEqual([
    'role own created',
    'role setter created',
    expect.stringMatching(/^the security label of dummy on role setter was left out: .*provider/),
  ]);
  const restored = await logicalEngine.logical?.restoreDatabase(context, { ...order, intoDatabase: 'app' });
  expect(restored?.accepted).toEqual([
    'the security label of dummy was left out: the server does not load that provider',
  ]);
  const read = (server: ScratchCluster) =>
    withMaintenance({ ...context.cluster.connection, port: server.port }, (client) =>
      databaseProperties(client, 'app'),
    );
  const [before, after] = [await read(source), await read(target)];
  expect(before).toMatchObject({ template: true, labels: [{ provider: 'dummy', label: 'secret' }] });
  expect({ ...after, labels: before.labels }).toEqual(before);
  const { rows } = await runQuery(
    target,
    'postgres',
    `SELECT parname, privilege_type, is_grantable FROM pg_parameter_acl, aclexplode(paracl) WHERE grantee = 'setter'::regrole ORDER BY 1`,
  );
  expect(rows).toEqual([
    { parname: 'log_min_messages', privilege_type: 'SET', is_grantable: true },
    { parname: 'work_mem', privilege_type: 'ALTER SYSTEM', is_grantable: false },
  ]);
});

it('R14: a set that somebody copied under a name of 2099 is listed as quarantined, and does not hold up the latest one', async () => {
  const directory = join(ground.repositoryPath, 'mairie', 'nightly');
  const files = (await readdir(directory)).filter((name) => name.startsWith(backup.label));
  expect(files).toHaveLength(3);
  for (const name of files)
    await copyFile(join(directory, name), join(directory, name.replace(/_\d{8}_\d{6}/, '_20990101_000000')));
  const context = await ground.context('list');
  const listed = await logicalEngine.list(context);
  const place = { cluster: 'mairie', policy: 'nightly', engine: 'logical', repository: backup.repository };
  const backups = reconcile({ backups: [backup] }, [{ ...place, listed }], new Date('2026-11-22T00:00:00Z'));
  expect(backups.map(({ label, status }) => [label, status])).toEqual([
    [backup.label, 'complete'],
    ['app_full_20990101_000000', 'quarantined'],
  ]);
});
