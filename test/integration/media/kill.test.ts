import type { IncomingMessage } from 'node:http';
import { ListObjectVersionsCommand } from '@aws-sdk/client-s3';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { approve } from '../../../src/client/decide.js';
import { startMedia } from '../../../src/client/start.js';
import type { MediaPlan } from '../../../src/domain/media/media.js';
import { applyAll } from '../../../src/media/apply.js';
import { summarise } from '../../../src/media/summary.js';
import { type MediaRun, actionsOf } from '../../../src/media/carry-out.js';
import type { MediaOutput } from '../../../src/workflows/api.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { startMeddler } from '../../helpers/meddler.js';
import { type S3Server, startMinio } from '../../helpers/s3-servers.js';
import { editConfig, reaches } from '../../helpers/site-cli.js';
import { Site } from '../../helpers/site.js';
import { type BadNetwork, startBadNetwork } from '../../helpers/toxiproxy.js';
import { until } from '../../helpers/until.js';
import { MediaBucket } from './bucket.js';

failOnLeakedProcesses();

const FIRST = 50;
const keys = Array.from({ length: 200 }, (_, n) => `photos/${String(n).padStart(4, '0')}`);
const whole = Object.fromEntries(keys.map((key) => [key, `content of ${key}`]));

describe('media under bad luck', () => {
  let server: S3Server;
  let network: BadNetwork;
  let count = 0;

  beforeAll(async () => {
    server = await startMinio();
    network = await startBadNetwork(server.port);
  });

  /** A bucket all of whose objects were overwritten after an instant. */
  const damaged = async (): Promise<{ bucket: MediaBucket; at: number }> => {
    const bucket = new MediaBucket(server, await server.bucket(`luck-${++count}`, { versioned: true }));
    await bucket.put(keys);
    const at = await bucket.instant();
    await bucket.put(keys, () => 'damaged');
    return { bucket, at };
  };
  const left = async (bucket: MediaBucket, at: number) =>
    (await summarise(actionsOf({ kind: 'restore', place: bucket.place('photos/'), at, later: 'keep' }))).counts
      .overwrite.objects;

  test('F1: a worker killed in mid copy is followed by one that goes on where it was, and nothing is copied twice', async () => {
    const [{ bucket, at }, site] = await Promise.all([damaged(), Site.create()]);
    // Copies beyond the first ones are held back until their worker is dead, however late that is.
    const held: IncomingMessage[] = [];
    const first = new Set<string>();
    let go = (): void => undefined;
    const dead = new Promise<null>((resolve) => (go = () => resolve(null)));
    const proxy = await startMeddler(server.port, (request) => {
      const { headers, url = '' } = request;
      if (headers['x-amz-copy-source'] === undefined) return null;
      if (first.size < FIRST) first.add(url);
      if (first.has(url)) return null;
      held.push(request);
      return dead;
    });
    const yaml = server.repositoryYaml(bucket.name).replace(server.endpoint, proxy);
    await editConfig(site, (text) =>
      text
        .replace('repositories:\n', `repositories:\n  photos: ${yaml}\n`)
        .replace('    approvals:\n', '    approvals:\n      media-recover: { approvers: 1, from: [dba] }\n')
        .concat('media:\n  photos: { repository: photos, prefix: photos/, cluster: mairie, concurrency: 4 }\n'),
    );
    const worker = await site.startWorker();
    const work = await startMedia(site.session, {
      cluster: 'mairie',
      requester: 'test',
      order: { media: 'photos', task: { kind: 'recover', to: new Date(at).toISOString(), later: 'keep' } },
    });
    await reaches(site, work.workflowId, 'waiting-approval');
    const plan = await work.handle.query<MediaPlan>('plan');
    await approve(site.session, work.workflowId, { plan: plan.digest.slice(0, 12), by: 'dba', reason: 'test' });
    await site.waitFor(async () => (await left(bucket, at)) === keys.length - FIRST, 'some objects are copied');
    await worker.kill();
    await until(() => held.every(({ socket }) => socket.destroyed), 'nothing of it is under way');
    expect(await left(bucket, at)).toBe(keys.length - FIRST);
    go();
    await site.startWorker();
    expect(await site.result<MediaOutput>(work)).toMatchObject({
      state: 'completed',
      outcome: { left: 0, done: { overwrite: { objects: keys.length } } },
    });
    expect(await bucket.contents('photos/')).toEqual(whole);
    const { Versions = [] } = await server.client.send(new ListObjectVersionsCommand({ Bucket: bucket.name }));
    expect(Versions).toHaveLength(3 * keys.length);
  });

  test('F10: connections that are reset in mid copy delay it, and all objects are right afterwards', async () => {
    const { bucket, at } = await damaged();
    const work: MediaRun = {
      kind: 'restore',
      place: bucket.place('photos/', { endpoint: `http://127.0.0.1:${network.port}` }),
      at,
      later: 'keep',
    };
    let resets = 0;
    const report = (done: number): void => {
      if (done % 50 !== 0) return;
      resets += 1;
      void network.enable(false).then(() => network.enable(true));
    };
    await applyAll(work, { concurrency: 4, singleCopyBytes: 5 * 1024 ** 3, report });
    expect(resets).toBeGreaterThan(2);
    expect(await bucket.contents('photos/')).toEqual(whole);
    expect(await left(bucket, at)).toBe(0);
  });
});
