import { setTimeout as sleep } from 'node:timers/promises';
import { ListMultipartUploadsCommand } from '@aws-sdk/client-s3';
import { beforeAll, describe, expect, it } from '@jest/globals';
import type { Backup } from '../../../src/domain/backup/backup.js';
import type { BackupOutput } from '../../../src/workflows/api.js';
import { CanaryWatch, filesBelow, textOf } from '../../helpers/canary.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { startVersity } from '../../helpers/s3-servers.js';
import type { S3Server } from '../../helpers/s3-servers.js';
import { answer, approved, planned, reaches } from '../../helpers/site-cli.js';
import { Site } from '../../helpers/site.js';
import { startBadNetwork } from '../../helpers/toxiproxy.js';
import type { BadNetwork } from '../../helpers/toxiproxy.js';

failOnLeakedProcesses();

let server: S3Server;
let network: BadNetwork;
let site: Site;
let watch: CanaryWatch;

beforeAll(async () => {
  server = await startVersity();
  await server.bucket('backups');
  network = await startBadNetwork(server.port);
  const options = server.options('backups', {
    endpoint: `https://127.0.0.1:${network.port}`,
    prefix: 'mairies',
    part_size: '5MiB',
  });
  site = await Site.create({ offsite: JSON.stringify({ type: 's3', ...options }) });
  // Three parts of an upload, whatever pg_dump makes of it.
  await site.query(
    "CREATE TABLE metier.photos AS SELECT n, string_agg(md5(random()::text), '') AS photo FROM generate_series(1, 300) n, generate_series(1, 2500) GROUP BY 1",
  );
  await site.startWorker();
  watch = new CanaryWatch([server.secretAccessKey], site.session.client);
  watch.overhear(site);
});

const uploads = async (): Promise<string[]> =>
  ((await server.client.send(new ListMultipartUploadsCommand({ Bucket: 'backups' }))).Uploads ?? []).map(({ Key }) =>
    String(Key),
  );

/** Starts a backup whose upload is under way for as long as the network is slow. */
async function inMidUpload(): Promise<{
  operationId: string;
  result: Promise<BackupOutput>;
  faster: () => Promise<void>;
}> {
  const faster = await network.toxic('bandwidth', { rate: 300 }, 'upstream');
  const work = await site.startBackup('dump');
  const result = site.result<BackupOutput>(work);
  result.catch(() => undefined);
  await site.waitFor(async () => (await uploads()).length > 0, 'an upload is under way');
  return { operationId: work.operationId, result, faster };
}

const uploader = async (operationId: string) => (await site.jobs(operationId)).find(({ tool }) => tool === 'pg_dump');

describe('a cluster whose dumps and catalogue are in S3', () => {
  let expected: Record<string, string>;

  it('S5, F42: is backed up there, streamed and proven; nothing of it lies on this host', async () => {
    const { backups } = await answer<{ backups: Backup[] }>(site, 'backup', 'run', 'mairie', '--policy', 'dump');
    expect(backups).toMatchObject([{ repository: 'offsite', database: 'mairie', proven: { level: 'verified' } }]);
    expect(await site.backups()).toMatchObject([{ id: backups[0]?.id, status: 'complete' }]);
    expect(await uploads()).toEqual([]);
    expect(await site.leftovers()).toMatchObject({ processes: [], databases: [] });
    expect((await filesBelow(site.root, /^pgdata\//)).filter(([, content]) => content.startsWith('PGDMP'))).toEqual([]);
  });

  it('D2: a worker killed in the middle of an upload finds it under way, or done, and starts nothing again', async () => {
    const { operationId, result, faster } = await inMidUpload();
    await site.workers.at(-1)?.kill();
    await site.startWorker();
    await faster();
    const made = await result;
    expect(made.backups).toHaveLength(1);
    expect((await uploader(operationId))?.starts).toBe(1);
    expect(await uploads()).toEqual([]);
  });

  it('F11: an uploader killed in the middle is started again, and what it had sent is gone', async () => {
    const { operationId, result, faster } = await inMidUpload();
    const pid = await site.waitFor(async () => (await uploader(operationId))?.pid, 'the uploader runs');
    process.kill(pid, 'SIGKILL');
    await faster();
    expect((await result).backups).toMatchObject([{ proven: { level: 'verified' } }]);
    expect((await uploader(operationId))?.starts).toBe(2);
    expect(await uploads()).toEqual([]);
    expect((await site.backups()).map(({ status }) => status)).toEqual(['complete', 'complete', 'complete']);
  });

  it('K1, F10: is recovered in place, over a network that breaks off meanwhile', async () => {
    expected = await site.contentHash();
    await site.query('DELETE FROM metier.demandes_rdv WHERE id > 100');
    const cut = await network.toxic('limit_data', { bytes: 3_000_000 });
    const started = await planned(site, '--policy', 'dump');
    await approved(site, started);
    // Long enough for several connections to be cut, then a sound network.
    await sleep(2_000);
    await cut();
    await reaches(site, started.workflowId, 'completed');
    expect(Object.keys(expected)).toContain('metier.photos');
    expect(await site.contentHash()).toEqual(expected);
    expect((await site.leftovers()).files).toEqual([]);
  });

  it('F39: the secret of the bucket was nowhere but in its file and in the server', async () => {
    await watch.stop();
    expect(watch.looks).toBeGreaterThan(20);
    for await (const { workflowId, runId } of site.session.client.workflow.list()) {
      watch.search(
        `history of ${workflowId}`,
        textOf(await site.session.client.workflow.getHandle(workflowId, runId).fetchHistory()),
      );
    }
    for (const [path, content] of await filesBelow(site.root, /^pgdata\//)) watch.search(path, content);
    expect([...watch.sightings].filter((where) => !where.includes('versitygw'))).toEqual([]);
    // The look does find it where it is.
    expect([...watch.sightings].length).toBeGreaterThan(0);
  });
});
