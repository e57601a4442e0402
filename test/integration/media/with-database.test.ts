import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from '@jest/globals';
import type { Plan } from '../../../src/domain/plan/plan.js';
import { statusOf as look } from '../../../src/client/status.js';
import type { RecoverOutput } from '../../../src/workflows/api.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { startMinio } from '../../helpers/s3-servers.js';
import { answer, approved, editConfig, planned, reaches, refusal } from '../../helpers/site-cli.js';
import { Site } from '../../helpers/site.js';
import { MediaBucket } from './bucket.js';

failOnLeakedProcesses();

describe('K1, K3: a database and its media go to the same instant by one plan', () => {
  let site: Site;
  let photos: MediaBucket;
  let backup: string;

  const rows = async (): Promise<readonly string[]> =>
    ((await site.query('SELECT key FROM metier.photos ORDER BY 1')).rows as { key: string }[]).map(({ key }) => key);
  const outcomeOf = (workflowId: string) =>
    site.result<RecoverOutput>({ handle: site.session.client.workflow.getHandle(workflowId) });

  /** While this file is there, recoveries wait where applications are stopped: after their second look. */
  const hold = (): string => join(site.root, 'hold');
  const stops = (workflowId: string) =>
    site.waitFor(
      async () =>
        (await site.session.client.workflow.getHandle(workflowId).describe()).raw.pendingActivities?.some(
          ({ activityType }) => activityType?.name === 'runHook',
        ),
      'applications are being stopped',
    );

  beforeAll(async () => {
    const [server, made] = await Promise.all([startMinio(), Site.create()]);
    site = made;
    photos = new MediaBucket(server, await server.bucket('photos', { versioned: true }));
    await editConfig(site, (text) =>
      text
        .replace('repositories:\n', `repositories:\n  photos: ${server.repositoryYaml('photos')}\n`)
        .replace(
          '    databases',
          `    hooks: { stop-applications: { argv: [/bin/sh, -c, 'while [ -e "$0" ]; do sleep 0.1; done', ${hold()}], host: db1, timeout: 300s } }\n    databases`,
        )
        .replace('    approvals:\n', '    approvals:\n      media-recover: { approvers: 1, from: [dba] }\n')
        .concat(
          'media:\n  photos: { repository: photos, prefix: p, cluster: mairie, objects_query: { database: mairie, query: "SELECT key FROM metier.photos; " } }\n',
        ),
    );
    await site.startWorker();
    await site.query(
      "CREATE TABLE metier.photos (key text); INSERT INTO metier.photos VALUES ('1'), ('2'), ('été/3'), ('never'), ('never'), (NULL)",
    );
    await photos.put(['p/1', 'p/2', 'p/été/3', 'q/never']);
    await photos.instant();
    const { backups } = await site.backUp('dump');
    backup = backups[0]!.id;
    await photos.instant();
    await photos.delete(['p/1']);
    await photos.put(['p/2'], () => 'damaged');
    await photos.put(['p/later']);
    await site.query("DELETE FROM metier.photos; INSERT INTO metier.photos VALUES ('later')");
  });

  test('what names no instant, media of nobody, and another place are refused before anything changes', async () => {
    const dryRun = (...argv: string[]) => refusal(site, 'recover', 'mairie', '--policy', 'dump', '--dry-run', ...argv);
    expect(await dryRun('--to', 'latest', '--with-media', 'photos')).toMatchObject({
      exit: 2,
      code: 'target-invalid',
      hint: expect.stringContaining('--to TIME'),
    });
    expect(await dryRun('--to', `backup:${backup}`, '--with-media', 'photo')).toMatchObject({
      code: 'not-found',
      hint: expect.stringContaining('photos'),
    });
    expect(await photos.content('p/2')).toBe('damaged');
  });

  test('one plan shows both, one approval is enough, and rows whose object is not there are counted before anything is opened', async () => {
    const shown = await site.cli(
      'recover',
      'mairie',
      '--to',
      `backup:${backup}`,
      '--with-media',
      'photos',
      '--dry-run',
    );
    expect(shown.stdout).toMatch(/media +photos as of .*: 1 to undelete \(.*\), 1 to overwrite with the older version/);
    const started = await planned(site, '--to', `backup:${backup}`, '--with-media', 'photos');
    const { media } = started.plan.binding;
    expect(media).toMatchObject({
      name: 'photos',
      instant: started.plan.observed.stateAt,
      counts: { undelete: { objects: 1 }, overwrite: { objects: 1 }, copy: { objects: 0 } },
    });
    expect(await photos.content('p/1')).toBeNull();

    await approved(site, started);
    const status = await reaches(site, started.workflowId, 'paused');
    expect(status.waitingFor).toContain('media/photos');
    expect(await rows()).toEqual(['later']);
    await answer(site, 'promote', started.workflowId, '--by', 'dba', '--reason', 'that photograph was lost in 2019');
    await reaches(site, started.workflowId, 'completed');

    expect(await rows()).toEqual(
      ['1', '2', 'never', 'never', 'été/3', null].toSorted((a, b) => Number(a === null) - Number(b === null)),
    );
    expect(await photos.contents('p/')).toEqual({
      'p/1': 'content of p/1',
      'p/2': 'content of p/2',
      'p/été/3': 'content of p/été/3',
      'p/later': 'content of p/later',
    });
    const { outcome } = await outcomeOf(started.workflowId);
    const check = outcome!.checks.find(({ name }) => name === 'media/photos');
    expect(check).toMatchObject({
      status: 'failed',
      detail: expect.stringContaining('5 rows checked, 2 of them name 1 objects that do not exist'),
    });
    const report = await readFile(join(site.places.backupsDir, outcome!.report), 'utf8');
    expect(report).toContain('photos, to ');
    expect(report).toContain('0 changes left');
  });

  test('F8: media written to since the approval are a new plan; where all is right, nothing is asked', async () => {
    await photos.delete(['p/2']);
    await site.query("DELETE FROM metier.photos WHERE key = 'never'");
    const { backups } = await site.backUp('dump');
    await photos.delete(['p/later']);
    const started = await planned(site, '--to', `backup:${backups[0]!.id}`, '--with-media', 'photos');
    expect(started.plan.binding.media).toMatchObject({ counts: { undelete: { objects: 1 } } });
    await photos.delete(['p/1']);
    await approved(site, started);
    const again = await site.waitFor(async () => {
      const plan = await site.session.client.workflow.getHandle(started.workflowId).query<Plan | null>('plan');
      return plan !== null && plan.digest !== started.plan.digest && plan;
    }, 'the plan is made again');
    expect(again.binding.media).toMatchObject({ counts: { undelete: { objects: 2 } } });
    expect(Object.keys(await photos.contents('p/'))).toEqual(['p/été/3']);
    await reaches(site, started.workflowId, 'waiting-approval');
    await answer(site, 'reject', started.workflowId, '--by', 'dba', '--reason', 'test');
    await reaches(site, started.workflowId, 'rejected');
  });

  test('F31: written to after the second look, it stops; tried again, what was approved comes back, and what was written stays', async () => {
    await photos.put(['p/1', 'p/2', 'p/3']);
    await site.query("DELETE FROM metier.photos; INSERT INTO metier.photos VALUES ('1')");
    const { backups } = await site.backUp('dump');
    await photos.instant();
    await photos.delete(['p/1']);
    await writeFile(hold(), '');
    const started = await planned(site, '--to', `backup:${backups[0]!.id}`, '--with-media', 'photos');
    expect(started.plan.binding.media).toMatchObject({
      counts: { undelete: { objects: 1 }, overwrite: { objects: 0 } },
    });
    await approved(site, started);
    await stops(started.workflowId);
    await photos.put(['p/2'], () => 'written meanwhile');
    await photos.delete(['p/3']);
    await rm(hold());
    expect((await reaches(site, started.workflowId, 'paused')).waitingFor).toContain(
      'media photos were written to since the plan was approved',
    );
    expect(await photos.content('p/1')).toBeNull();
    await answer(site, 'continue', started.workflowId, '--by', 'dba', '--reason', 'test');
    await site.waitFor(
      async () =>
        (await look(site.session, started.workflowId, { jobs: false })).waitingFor?.includes(
          'checks failed: media/photos',
        ),
      'the checks tell what is left',
    );
    expect([await photos.content('p/1'), await photos.content('p/2'), await photos.content('p/3')]).toEqual([
      'content of p/1',
      'written meanwhile',
      null,
    ]);
    await answer(site, 'promote', started.workflowId, '--by', 'dba', '--reason', 'test');
    await reaches(site, started.workflowId, 'completed');
    expect((await outcomeOf(started.workflowId)).outcome!.checks).toContainEqual({
      name: 'media/photos',
      status: 'failed',
      detail: expect.stringContaining('2 changes are left'),
    });
  });

  test('K2: to a time, by the archive; another target would leave the media behind, and is refused', async () => {
    await site.query("DELETE FROM metier.photos; INSERT INTO metier.photos VALUES ('1'), ('2')");
    await photos.put(['p/1', 'p/2']);
    await site.backUp('physical');
    const time = new Date(await photos.instant()).toISOString();
    await site.query("INSERT INTO metier.photos VALUES ('too late')");
    await photos.delete(['p/1', 'p/2']);
    const started = await planned(site, '--policy', 'physical', '--to', time, '--with-media', 'photos', '--pause');
    expect(started.plan.binding.media).toMatchObject({ instant: time, counts: { undelete: { objects: 2 } } });
    await approved(site, started);
    await reaches(site, started.workflowId, 'paused');
    expect(Object.keys(await photos.contents('p/'))).toEqual(['p/1', 'p/2', 'p/été/3']);
    expect(
      await refusal(site, 'retarget', started.workflowId, '--to', 'latest', '--by', 'dba', '--reason', 'test'),
    ).toMatchObject({ code: 'approval-refused', hint: expect.stringContaining('--with-media photos') });
    await answer(site, 'promote', started.workflowId, '--by', 'dba', '--reason', 'test');
    await reaches(site, started.workflowId, 'completed');
    expect(await rows()).toEqual(['1', '2']);
    expect((await outcomeOf(started.workflowId)).outcome!.checks).toContainEqual({
      name: 'media/photos',
      status: 'passed',
      detail: expect.stringContaining('2 rows checked, all objects that they name exist'),
    });
    // Else the archive holds nothing after the instant, and nobody can tell what was committed until then.
    await site.query("INSERT INTO metier.photos VALUES ('later')");
    await site.backUp('physical');
    const refused = await refusal(
      site,
      'recover',
      'mairie',
      '--policy',
      'physical',
      '--into',
      'beside',
      '--to',
      time,
      '--with-media',
      'photos',
      '--dry-run',
    );
    expect(refused).toMatchObject({ code: 'conflict', hint: expect.stringContaining('media recover photos') });
  });
});
