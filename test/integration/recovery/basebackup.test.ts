import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { runInspection } from '../../../src/client/inspect.js';
import { applyWatches } from '../../../src/client/schedules/apply-watches.js';
import { loadConfig } from '../../../src/config/load.js';
import type { Config } from '../../../src/domain/config.js';
import { readJobs } from '../../../src/process/jobs/supervisor.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { Site } from '../../helpers/site.js';
import type { SiteWorker } from '../../helpers/site-worker.js';

failOnLeakedProcesses();
const ARCHIVE = 'archive/mairie/base';

let site: Site;
let worker: SiteWorker;
const wal = (): string => join(site.places.backupsDir, 'mairie', 'base', 'wal');
const receivers = async (): Promise<(number | null)[]> =>
  (await readJobs(site.places.stateDir, ARCHIVE)).filter(({ state }) => state === 'running').map(({ pid }) => pid);
const active = async (): Promise<boolean> =>
  ((await site.query('SELECT active FROM pg_replication_slots')).rows as { active: boolean }[]).some(
    (slot) => slot.active,
  );

/** Waits until what was committed before this call can be recovered from the repository alone. */
async function received(): Promise<void> {
  const [{ now = '' } = {}] = (
    await site.query(`SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS now`)
  ).rows as { now: string }[];
  await site.query("SELECT pg_logical_emit_message(true, 'test', 'something to receive')");
  await site.waitFor(async () => {
    const { windows } = await runInspection<'wal'>(site.session, { kind: 'wal', cluster: 'mairie' });
    return (windows.find(({ policy }) => policy === 'base')?.newest ?? '') >= now;
  }, 'the WAL is in the repository');
}

beforeAll(async () => {
  site = await Site.create({
    policiesYaml:
      '      base: { engine: basebackup, repository: local, options: { wal: receivewal }, schedule: { cron: "15 3 * * *" }, retention: { days: 14 }, proof: restore }\n',
  });
  const config = await loadConfig({ file: site.places.configFile });
  worker = await site.startWorker();
  // Without its watch, which would begin a recovery of its own.
  const clusters = { mairie: { ...config.clusters['mairie'], watch: undefined } } as unknown as Config['clusters'];
  expect(await applyWatches(site.session, { ...config, clusters })).toMatchObject([
    { workflowId: ARCHIVE, action: 'start' },
  ]);
  await site.waitFor(active, 'the slot is used');
});

describe('K8, B5: base backups and received WAL, through the workflows', () => {
  it('F1: a backup is proved by a restore, though the worker dies when the copy was thrown away and nobody knows of it yet', async () => {
    await worker.stop();
    const dying = await site.startWorker({ REPRISE_CRASH_AT: 'activity:proveBackup:after' });
    const backedUp = site.backUp('base');
    await dying.exited();
    worker = await site.startWorker();
    expect((await backedUp).backups).toMatchObject([
      { type: 'full', proven: { level: 'restored' }, status: 'complete' },
    ]);
    expect((await readdir(join(site.places.stateDir, 'scratch'))).filter((name) => name.startsWith('prove-'))).toEqual(
      [],
    );
  });

  it('F1: a worker that is killed leaves the receiver running, and the next one goes on with it', async () => {
    const before = await receivers();
    expect(before).toHaveLength(1);
    await worker.kill();
    await site.commit();
    worker = await site.startWorker();
    await received();
    expect(await receivers()).toEqual(before);
  });

  it('S4, K2: all is lost but what was received: no committed row is, and the new timeline is received from its start', async () => {
    await site.commit();
    const content = await site.contentHash();
    await received();
    await site.loseInstance('all');
    const work = await site.recover('base');
    await site.approve(work);
    const { outcome } = await site.recovered(work);
    expect(outcome).toMatchObject({ target: { requested: 'latest' } });
    expect(await site.contentHash()).toEqual(content);
    // The recovery took a fresh backup, whose WAL of the new timeline was received.
    expect((await readdir(wal())).some((name) => /^00000002[0-9A-F]{16}\.gz$/.test(name))).toBe(true);
    await site.commit();
    await received();
    const again = await site.backUp('base');
    expect(again.backups[0]?.wal?.start).toMatch(/^00000002/);
  });

  it('cancelled, it takes its program along', async () => {
    const handle = site.session.client.workflow.getHandle(ARCHIVE);
    await handle.cancel();
    await site.waitFor(async () => (await handle.describe()).status.name === 'CANCELLED', 'it is cancelled');
    expect(await receivers()).toEqual([]);
  });
});
