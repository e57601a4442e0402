import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import type { Backup } from '../../../src/domain/backup/backup.js';
import type { IncidentLine, IncidentView } from '../../../src/domain/operation/inspections.js';
import { onCleanup } from '../../helpers/cleanup.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { answer, approved, reaches, refusal, statusOf } from '../../helpers/site-cli.js';
import { Site } from '../../helpers/site.js';
import { openNamespace } from '../../helpers/site-session.js';
import { tempDir } from '../../helpers/temp.js';
import { startTemporalServer } from '../../helpers/temporal-server.js';
import type { TemporalServer } from '../../helpers/temporal-server.js';

failOnLeakedProcesses();

let site: Site;
let temporal: TemporalServer;
let dbFile: string;

const incidents = async () => (await answer<{ incidents: IncidentLine[] }>(site, 'incident', 'list')).incidents;
/** The recovery an incident has started, once its plan waits. */
const recoveryOf = (incident: string): Promise<string> =>
  site.waitFor(async () => {
    const { works } = await answer<{ works: { workflowId: string; state: string }[] }>(site, 'status');
    return works.find(
      ({ workflowId, state }) =>
        workflowId === incident.replace(/^incident\/([^/]+)\/[^/]+/, 'recover/$1') && state === 'waiting-approval',
    )?.workflowId;
  }, `${incident} has a plan`);

beforeAll(async () => {
  dbFile = join(await tempDir('temporal-db'), 'temporal.db');
  temporal = await startTemporalServer({ dbFile });
  onCleanup(() => temporal.stop());
  site = await Site.create({ address: temporal.address, watch: true });
  await site.startWorker();
  await site.backUp('physical');
  await site.commit();
});

describe('D6, S1, S2: an incident, by the command line alone', () => {
  it('opened by hand: a dry run only looks; dismissed, it ends, and nothing was changed', async () => {
    expect(await answer(site, 'incident', 'start', 'instance-loss', '--cluster', 'mairie', '--dry-run')).toMatchObject({
      dryRun: true,
      diagnosis: { answers: true, layer: null, dataDirectory: 'whole' },
    });
    expect(await incidents()).toEqual([]);
    expect(await refusal(site, 'incident', 'start', 'instance-lost', '--cluster', 'mairie')).toMatchObject({
      exit: 2,
      code: 'usage',
      hint: expect.stringContaining('instance-loss'),
    });
    expect(await refusal(site, 'incident', 'start', 'instance-loss')).toMatchObject({ exit: 2 });
    expect(await refusal(site, 'incident', 'start', 'instance-loss', '--cluster', 'marie')).toMatchObject({ exit: 6 });

    const { workflowId } = await answer<{ workflowId: string }>(
      site,
      'incident',
      'start',
      'instance-loss',
      '--cluster',
      'mairie',
      '--by',
      'ops',
      '--detach',
    );
    expect(workflowId).toMatch(/^incident\/mairie\/instance-loss\//);
    const recovery = await recoveryOf(workflowId);
    expect((await statusOf(site, workflowId)).state).toBe('suspected');
    expect(
      await answer(site, 'incident', 'note', workflowId, '--by', 'ops', 'told', 'the', 'town', 'hall'),
    ).toMatchObject({ incident: workflowId, by: 'ops', text: 'told the town hall' });
    expect(await refusal(site, 'incident', 'dismiss', workflowId)).toMatchObject({ exit: 2 });
    expect(
      await answer(site, 'incident', 'dismiss', workflowId, '--by', 'ops', '--reason', 'planned restart', '--dry-run'),
    ).toMatchObject({ dryRun: true });
    expect((await statusOf(site, workflowId)).state).toBe('suspected');
    await answer(
      site,
      'incident',
      'dismiss',
      workflowId.slice(workflowId.lastIndexOf('/') + 1),
      '--by',
      'ops',
      '--reason',
      'planned restart',
    );
    await site.waitFor(
      async () => (await site.session.client.workflow.getHandle(workflowId).describe()).status.name !== 'RUNNING',
      'the incident ended',
    );
    expect((await site.session.client.workflow.getHandle(recovery).describe()).status.name).not.toBe('RUNNING');
    expect(await incidents()).toMatchObject([
      {
        id: workflowId,
        cluster: 'mairie',
        scenario: 'instance-loss',
        state: 'dismissed',
        closedAt: expect.any(String),
      },
    ]);
    const { records } = await answer<IncidentView>(site, 'incident', 'show', workflowId);
    // L16: who sent it is read from the history, and stands beside the name in it.
    expect(JSON.stringify(records)).toMatch(/told the town hall \(sent by client \d+@/);
    expect(records.find((one) => one.kind === 'incident' && one.state === 'dismissed')).toMatchObject({
      by: 'ops',
      sender: { identity: expect.stringMatching(/^\d+@/), principal: null },
    });
    expect(await refusal(site, 'incident', 'show', 'never')).toMatchObject({ exit: 6, code: 'not-found' });
  });

  it('S1, D1: the watch opens it as suspected with the layer; Temporal and its database are lost in the middle; a new server knows everything from the repository, and recovers', async () => {
    const expected = await site.contentHash();
    await answer(site, 'schedule', 'apply');
    await site.loseInstance('data');
    const seen = await site.waitFor(
      async () => (await incidents()).find(({ state }) => state !== 'dismissed'),
      'the watch opens an incident',
    );
    expect(seen.state).toBe('suspected');
    const shown = JSON.stringify((await answer<IncidentView>(site, 'incident', 'show', seen.id)).records);
    expect(shown).toMatch(/layer (host|port)/);
    await recoveryOf(seen.id);
    const backups = (await answer<{ backups: Backup[] }>(site, 'backup', 'list')).backups;

    // Not only stopped: its database is gone.
    await temporal.stop();
    expect(await refusal(site, 'backup', 'list')).toMatchObject({ exit: 5, code: 'temporal-unreachable' });
    for (const suffix of ['', '-wal', '-shm']) await rm(dbFile + suffix, { force: true });
    temporal = await startTemporalServer({ dbFile });
    await site.workers[0]?.kill();
    await site.session.close();
    site.session = await openNamespace(temporal.address, 'afterwards');
    await site.startWorker();

    expect((await answer<{ works: unknown[] }>(site, 'status')).works).toEqual([]);
    expect((await answer<{ backups: Backup[] }>(site, 'backup', 'list')).backups).toEqual(backups);
    expect((await incidents()).find(({ id }) => id === seen.id)?.state).toBe('suspected');

    const { workflowId } = await answer<{ workflowId: string }>(
      site,
      'incident',
      'start',
      'instance-loss',
      '--cluster',
      'mairie',
      '--by',
      'ops',
      '--detach',
    );
    const recovery = await recoveryOf(workflowId);
    await answer(site, 'incident', 'confirm', workflowId, '--by', 'ops', '--reason', 'seen on site');
    // Asked of the incident, it is its recovery that takes the decision.
    expect(
      await answer(site, 'approve', workflowId, '--by', 'dba', '--reason', 'confirmed by phone', '--yes'),
    ).toMatchObject({ workflowId: recovery, missing: 0 });
    await reaches(site, workflowId, 'completed');
    expect(await site.contentHash()).toEqual(expected);

    expect((await incidents()).find(({ id }) => id === workflowId)).toMatchObject({
      state: 'closed',
      closedAt: expect.any(String),
    });
    const { outcome } = await answer<IncidentView>(site, 'incident', 'show', workflowId);
    expect(outcome).toMatchObject({
      rpoSeconds: 0,
      target: { requested: 'latest' },
      checks: [{ name: 'rows', status: 'passed' }],
      report: expect.any(String),
    });
    const { markdown } = await answer<{ markdown: string }>(site, 'incident', 'report', workflowId);
    for (const word of ['confirmed by phone', 'dba', 'asserted', 'RTO', 'RPO', 'seen on site'])
      expect(markdown).toContain(word);
    expect(
      await readFile(join(site.places.backupsDir, outcome?.report ?? ''), 'utf8').catch(() =>
        readFile(join(site.places.backupsDir, 'mairie', outcome?.report ?? ''), 'utf8'),
      ),
    ).toContain('mairie');
  });

  it('S5: rejected, it waits for a person: continue plans again, close ends it; deletes nothing', async () => {
    await site.loseInstance('killed');
    const { workflowId } = await answer<{ workflowId: string }>(
      site,
      'incident',
      'start',
      'instance-loss',
      '--cluster',
      'mairie',
      '--detach',
    );
    const first = await recoveryOf(workflowId);
    expect(JSON.stringify((await statusOf(site, first)).waitingFor)).toContain('approve');
    await answer(site, 'reject', first, '--by', 'dba', '--reason', 'not yet');
    await reaches(site, workflowId, 'paused');
    await answer(site, 'continue', workflowId, '--by', 'dba', '--reason', 'now');
    const second = await site.waitFor(async () => {
      const { works } = await answer<{ works: { workflowId: string; kind: string; state: string }[] }>(site, 'status');
      return works.find(
        ({ workflowId: id, kind, state }) => kind === 'recover' && state === 'waiting-approval' && id !== first,
      )?.workflowId;
    }, 'it is planned again');
    const { plan } = await statusOf(site, second);
    await approved(site, { workflowId: second, plan: { digest: plan } as never });
    await reaches(site, workflowId, 'completed');
    expect((await site.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
    expect((await incidents()).find(({ id }) => id === workflowId)?.state).toBe('closed');
    const third = await answer<{ workflowId: string }>(
      site,
      'incident',
      'start',
      'instance-loss',
      '--cluster',
      'mairie',
      '--detach',
    );
    await recoveryOf(third.workflowId);
    await answer(site, 'incident', 'close', third.workflowId, '--by', 'ops', '--reason', 'it answers');
    await reaches(site, third.workflowId, 'completed');
    expect((await incidents()).find(({ id }) => id === third.workflowId)?.state).toBe('closed');
  });
});
