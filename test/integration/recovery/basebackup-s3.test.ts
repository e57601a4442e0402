import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, it } from '@jest/globals';
import { applyWatches } from '../../../src/client/schedules/apply-watches.js';
import { loadConfig } from '../../../src/config/load.js';
import type { Config } from '../../../src/domain/config.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { startVersity } from '../../helpers/s3-servers.js';
import { Site } from '../../helpers/site.js';
import type { SiteWorker } from '../../helpers/site-worker.js';

failOnLeakedProcesses();

let site: Site;
let worker: SiteWorker;

beforeAll(async () => {
  const server = await startVersity();
  await server.bucket('base');
  const offsite = JSON.stringify({ type: 's3', ...server.options('base') });
  site = await Site.create({
    offsite,
    policiesYaml:
      '      base: { engine: basebackup, repository: offsite, options: { wal: receivewal }, schedule: { cron: "15 3 * * *" }, retention: { days: 14 }, proof: verify }\n',
  });
  const config = await loadConfig({ file: site.places.configFile });
  worker = await site.startWorker();
  const clusters = { mairie: { ...config.clusters['mairie'], watch: undefined } } as unknown as Config['clusters'];
  await applyWatches(site.session, { ...config, clusters });
  await site.waitFor(
    async () => (await site.query('SELECT FROM pg_replication_slots WHERE active')).rowCount === 1,
    'the slot is used',
  );
});

it('K2, F1: WAL comes from the bucket while the server replays; with its worker killed the server waits, and the next one goes on', async () => {
  await site.backUp('base');
  await site.commit();
  const content = await site.contentHash();
  const last = await site.closeSegment();
  // Something of the next one is received when all of this one is.
  await site.query("SELECT pg_create_restore_point('of the next segment')", 'postgres');
  await site.waitFor(
    async () =>
      (await site.query(`SELECT FROM pg_replication_slots WHERE pg_walfile_name(restart_lsn) > '${last}'`)).rowCount ===
      1,
    'the last segment is received',
  );
  await site.loseInstance('all');
  const work = await site.recover('base');
  const prefetched = join(site.places.dataDir, 'reprise_wal');
  await site.approve(work);
  // On a slow machine the recovery may be over before it was seen.
  await site.waitFor(
    async () => existsSync(join(prefetched, 'listed')) || (await site.status(work)).state === 'completed',
    'the WAL is listed',
  );
  await worker.kill();
  worker = await site.startWorker();
  const { outcome } = await site.recovered(work);
  expect(outcome).toMatchObject({ target: { requested: 'latest' } });
  expect(await site.contentHash()).toEqual(content);
  // What was brought for the recovery goes with it.
  expect(existsSync(prefetched)).toBe(false);
});
