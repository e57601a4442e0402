import { existsSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { expect, test } from '@jest/globals';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { createDatabaseFromTemplate, runQuery, startScratchCluster } from '../../helpers/postgres.js';
import { tempDir } from '../../helpers/temp.js';
import { archiveSegment } from '../../helpers/wal-segment.js';

failOnLeakedProcesses();

test('each test file has databases of its own, also copies of another', async () => {
  const first = await createDatabaseFromTemplate();
  await first.query('CREATE TABLE t (x int); INSERT INTO t VALUES (7)');
  const second = await createDatabaseFromTemplate(first.name);
  const { rows } = await second.query('SELECT x FROM t WHERE x = $1', [7]);
  expect(rows).toEqual([{ x: 7 }]);
});

test('a scratch cluster archives, dies, starts again and goes', async () => {
  const archive = await tempDir('archive');
  const cluster = await startScratchCluster({ archive: `cp %p ${archive}/%f` });
  expect((await stat(cluster.dataDir)).mode & 0o777).toBe(0o700);

  // Also a second time, with nothing written in between.
  const segments = [await archiveSegment(cluster), await archiveSegment(cluster)];
  expect((await readdir(archive)).slice(-2)).toEqual(segments);

  await cluster.kill();
  expect(await cluster.pid()).toBeUndefined();
  await cluster.start();
  await runQuery(cluster, 'postgres', 'SELECT 1');

  await cluster.remove();
  expect(existsSync(cluster.root)).toBe(false);
});
