import { expect, it } from '@jest/globals';
import { logicalEngine } from '../../../src/engines/logical/logical-engine.js';
import { makeGround } from '../../contract/engine-fixture.js';
import { onlyBackup } from '../../contract/engine-suite.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { runQuery, startScratchCluster } from '../../helpers/postgres.js';

failOnLeakedProcesses();

it('R6: a row of 100 MB is dumped and verified in seconds', async () => {
  const server = await startScratchCluster();
  await runQuery(server, 'postgres', 'CREATE DATABASE app');
  await runQuery(
    server,
    'app',
    `CREATE TABLE wide (b bytea); ALTER TABLE wide ALTER b SET STORAGE EXTERNAL;
     INSERT INTO wide SELECT decode(repeat('5c2e0a22', 12500000), 'hex'); INSERT INTO wide VALUES ('x'), (NULL);
     SELECT lo_from_bytea(0, decode(repeat('00ff', 1000000), 'hex'))`,
  );
  const ground = await makeGround(server, 'logical', { compress: 1, restoreJobs: 1 }, { databases: ['app'] });
  const context = await ground.context('one');
  const backup = onlyBackup(await logicalEngine.backup(context, { type: 'full', startedAt: '2026-11-21T02:15:00Z' }));
  expect(backup.contents).toMatchObject([{ table: 'wide', rows: 3 }]);
  const verdict = await logicalEngine.verify(await ground.context('two'), backup);
  expect(verdict).toMatchObject({ ok: true, contents: [{ table: 'wide', rows: 3 }] });
  expect(verdict.detail).toContain('1 large objects');
});
