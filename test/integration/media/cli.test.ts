import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from '@jest/globals';
import type { MediaPlan } from '../../../src/domain/media/media.js';
import type { MediaTask } from '../../../src/domain/operation/orders.js';
import { runInspection } from '../../../src/client/inspect.js';
import { approve as approvePlan } from '../../../src/client/decide.js';
import { startMedia } from '../../../src/client/start.js';
import type { StatusView } from '../../../src/client/status.js';
import type { MediaOutput } from '../../../src/workflows/api.js';
import { reprise } from '../../helpers/cli.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { startMeddler } from '../../helpers/meddler.js';
import { type S3Server, startMinio, startVersity } from '../../helpers/s3-servers.js';
import { Site } from '../../helpers/site.js';
import { answer, editConfig, reaches, refusal } from '../../helpers/site-cli.js';
import { MediaBucket } from './bucket.js';

failOnLeakedProcesses();

interface Told {
  readonly workflowId: string;
  readonly state: string;
  readonly plan: MediaPlan;
  readonly left: number;
  readonly report: string;
}

describe('K3: media on the command line', () => {
  let site: Site;
  let server: S3Server;
  let photos: MediaBucket;
  let copy: MediaBucket;
  let guarded: MediaBucket;

  beforeAll(async () => {
    [server, site] = await Promise.all([startMinio(), Site.create()]);
    const versity = await startVersity();
    photos = new MediaBucket(server, await server.bucket('photos', { versioned: true }));
    copy = new MediaBucket(server, await server.bucket('copy'));
    await versity.bucket('other', { versioned: true });
    guarded = new MediaBucket(server, await server.bucket('guarded', { versioned: true }));
    // What the policy of a key without s3:DeleteObjectVersion does.
    const proxy = await startMeddler(server.port, ({ method, url = '' }) =>
      method === 'DELETE' && url.includes('versionId=') ? { status: 403 } : null,
    );
    const repositories = {
      photos: server.repositoryYaml('photos'),
      copy: server.repositoryYaml('copy'),
      other: versity.repositoryYaml('other'),
      guarded: server.repositoryYaml('guarded').replace(server.endpoint, proxy),
    };
    const lines = Object.entries(repositories).map(([name, yaml]) => `  ${name}: ${yaml}`);
    await editConfig(site, (text) =>
      text
        .replace(
          'repositories:\n',
          `repositories:\n  folder: { type: directory, path: ${join(site.root, 'media')}, host: db1 }\n${lines.join('\n')}\n`,
        )
        .replace('    approvals:\n', '    approvals:\n      media-recover: { approvers: 1, from: [dba] }\n')
        .concat(
          'media:\n  photos: { repository: photos, prefix: p, cluster: mairie }\n  copy: { repository: copy, cluster: mairie }\n  guarded: { repository: guarded, cluster: mairie }\n  folder: { repository: folder, cluster: mairie }\n  wrong: { repository: other, cluster: mairie }\n',
        ),
    );
    await site.startWorker();
  });

  const damage = async (): Promise<string> => {
    await photos.put(['p/1', 'p/2', 'p/3', 'q/1']);
    const at = new Date(await photos.instant()).toISOString();
    await photos.delete(['p/1', 'q/1']);
    await photos.put(['p/2'], () => 'damaged');
    return at;
  };
  const approve = (workflowId: string, { digest }: MediaPlan) =>
    approvePlan(site.session, workflowId, { plan: digest.slice(0, 12), by: 'dba', reason: 'test' });
  const waitingPlan = (workflowId: string) =>
    site.session.client.workflow.getHandle(workflowId).query<MediaPlan>('plan');

  const run = async (media: string, task: MediaTask): Promise<MediaOutput> =>
    site.result(await startMedia(site.session, { cluster: 'mairie', requester: 'test', order: { media, task } }));
  const planned = (media: string, task: MediaTask) =>
    runInspection<'media-plan'>(site.session, {
      kind: 'media-plan',
      cluster: 'mairie',
      operationId: 'look',
      requester: 'test',
      order: { media, task },
    });
  const cause = (failure: Promise<unknown>) =>
    failure.catch((error: { cause?: { cause?: unknown } }) => error.cause?.cause ?? error.cause ?? error);

  test('B2, F31, W17: plan (there when --detach returns), wait for the approval of that very plan, bring back, look again, report', async () => {
    const to = await damage();
    const shown = await answer<Told>(site, 'media', 'plan', 'photos', '--to', to);
    expect(shown.plan.binding.counts).toMatchObject({
      undelete: { objects: 1 },
      overwrite: { objects: 1 },
      copy: { objects: 0 },
      remove: { objects: 0 },
    });
    expect(await photos.content('p/2')).toBe('damaged');

    const { workflowId, plan: made } = await answer<Told>(site, 'media', 'recover', 'photos', '--to', to, '--detach');
    expect(await waitingPlan(workflowId)).toEqual(made);
    const status: StatusView = await reaches(site, workflowId, 'waiting-approval');
    expect(status.waitingFor).toContain(`reprise approve ${workflowId}`);
    expect(await photos.content('p/2')).toBe('damaged');
    const plan = await waitingPlan(workflowId);
    expect(
      await refusal(
        site,
        'approve',
        workflowId,
        '--plan',
        plan.digest.slice(0, 12),
        '--by',
        'somebody',
        '--reason',
        'test',
      ),
    ).toMatchObject({ code: 'approval-refused' });
    await approve(workflowId, plan);
    await reaches(site, workflowId, 'completed');
    const { outcome } = (await site.session.client.workflow.getHandle(workflowId).result()) as { outcome: Told };
    expect(outcome.left).toBe(0);
    expect(await photos.contents('p/')).toEqual({
      'p/1': 'content of p/1',
      'p/2': 'content of p/2',
      'p/3': 'content of p/3',
    });
    expect(await photos.content('q/1')).toBeNull();
    expect(await readFile(join(site.places.backupsDir, outcome.report), 'utf8')).toContain('approved by dba');
    expect(await run('photos', { kind: 'recover', to, later: 'keep' })).toMatchObject({
      state: 'completed',
      outcome: null,
    });
  });

  test('W16: a key that may not remove versions: the plan names the right, and deleted objects come back all the same', async () => {
    await guarded.put(['a', 'b']);
    const to = new Date(await guarded.instant()).toISOString();
    await guarded.delete(['a']);
    const { workflowId } = await answer<Told>(site, 'media', 'recover', 'guarded', '--to', to, '--detach');
    await reaches(site, workflowId, 'waiting-approval');
    const plan = await waitingPlan(workflowId);
    expect(plan.binding.counts).toMatchObject({ undelete: { objects: 1 }, copy: { objects: 0 } });
    expect(plan.observed.warnings).toEqual([
      expect.stringMatching(/s3:DeleteObjectVersion in the bucket guarded.*1 deleted/),
    ]);
    await approve(workflowId, plan);
    await reaches(site, workflowId, 'completed');
    expect(await guarded.contents()).toEqual({ a: 'content of a', b: 'content of b' });
    const { outcome } = (await site.session.client.workflow.getHandle(workflowId).result()) as { outcome: Told };
    expect(outcome.left).toBe(0);
  });

  test('B2: who waits at a terminal sees what would be done and what approves it, before anything is done', async () => {
    const to = await damage();
    const { configFile } = site.places;
    const { address, namespace } = site.session.settings;
    let seen = '';
    const foreground = reprise(
      [
        '--config',
        configFile,
        '--address',
        address,
        '--namespace',
        namespace,
        'media',
        'recover',
        'photos',
        '--to',
        to,
      ],
      { heard: (stderr) => (seen = stderr) },
    );
    const workflowId = await site.waitFor(
      async () => /To approve:\n +reprise approve (media\/\S+) --plan [0-9a-f]{12} --by \S+ --reason/.exec(seen)?.[1],
      'the plan is shown',
    );
    expect(seen).toMatch(/ 1 +14 bytes +undeleted.*\n +1 +14 bytes +overwritten/);
    expect(await photos.content('p/2')).toBe('damaged');
    await approve(workflowId, await waitingPlan(workflowId));
    expect(await foreground).toMatchObject({ code: 0, stdout: expect.stringContaining('everything is as planned') });
  });

  test('F8: what changed since the approval is approved anew', async () => {
    const to = await damage();
    const { workflowId } = await startMedia(site.session, {
      cluster: 'mairie',
      requester: 'test',
      order: { media: 'photos', task: { kind: 'recover', to, later: 'keep' } },
    });
    await reaches(site, workflowId, 'waiting-approval');
    const before = await waitingPlan(workflowId);
    await photos.delete(['p/3']);
    await approve(workflowId, before);
    const again = await site.waitFor(async () => {
      const plan = await waitingPlan(workflowId);
      return plan !== null && plan.digest !== before.digest && plan;
    }, 'the plan is made again');
    expect(await photos.content('p/1')).toBeNull();
    await approve(workflowId, again);
    await reaches(site, workflowId, 'completed');
    expect(Object.keys(await photos.contents('p/'))).toEqual(['p/1', 'p/2', 'p/3']);
  });

  test('K3: sync makes a bucket and a directory equal; more deletions than allowed are refused before anything is changed', async () => {
    await photos.put(['p/1', 'p/2'], () => 'one');
    await photos.delete(['p/3']);
    await copy.put(['1', 'extra'], () => 'other');
    const sync = { kind: 'sync', into: 'copy', delete: false, maxDelete: 0 } as const;
    expect(await run('photos', sync)).toMatchObject({
      state: 'completed',
      outcome: { left: 0, untouched: { keep: { objects: 1 } } },
    });
    expect(await copy.contents()).toEqual({ 1: 'one', 2: 'one', extra: 'other' });
    expect(await cause(run('photos', { ...sync, delete: true }))).toMatchObject({ type: 'confirmation-needed' });
    // However it is started: the host removes nothing that was neither approved nor confirmed.
    expect(await cause(run('photos', { ...sync, delete: true, maxDelete: 100 }))).toMatchObject({
      type: 'confirmation-needed',
      message: expect.stringContaining('nobody confirmed it'),
    });
    expect(await refusal(site, 'media', 'sync', 'photos', '--into', 'copy', '--delete')).toMatchObject({
      code: 'confirmation-needed',
    });
    expect(await copy.content('extra')).toBe('other');
    await answer(site, 'media', 'sync', 'photos', '--into', 'copy', '--delete', '--yes');
    expect(await copy.contents()).toEqual({ 1: 'one', 2: 'one' });

    await run('copy', { ...sync, into: 'folder' });
    expect(await readFile(join(site.root, 'media', '2'), 'utf8')).toBe('one');
    expect(await run('copy', { ...sync, into: 'folder' })).toMatchObject({ outcome: null });
    expect(await cause(planned('copy', { ...sync, into: 'local' }))).toMatchObject({ type: 'conflict' });
  });

  test('K3: a bucket without versions, a server that loses their times, a directory and a time to come are refused with a next step', async () => {
    const task = { kind: 'recover', to: '2026-01-01T00:00:00Z', later: 'keep' } as const;
    for (const name of ['copy', 'wrong', 'folder'])
      expect(await cause(planned(name, task))).toMatchObject({ type: 'capability-missing' });
    expect(await cause(planned('photos', { ...task, to: '2126-01-01T00:00:00Z' }))).toMatchObject({
      type: 'target-invalid',
    });
    expect(await cause(planned('photos', { ...task, into: 'photos' }))).toMatchObject({ type: 'conflict' });
    expect(await refusal(site, 'media', 'recover', 'photo', '--to', task.to)).toMatchObject({
      code: 'not-found',
      hint: expect.stringContaining('photos'),
    });
  });

  test('K4: verify says what is sound', async () => {
    expect(await answer(site, 'media', 'verify', 'photos')).toMatchObject({ problems: 0 });
    await photos.put(['p/broken.jpg'], () => 'no image');
    const { code, stdout } = await site.cli('media', 'verify', 'photos', '--json');
    expect([code, JSON.parse(stdout)]).toMatchObject([
      8,
      { problems: 1, decoded: 1, samples: [{ key: 'broken.jpg' }] },
    ]);
  });
});
