import { execFile } from 'node:child_process';
import { appendFile, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from '@jest/globals';
import type { Drills } from '../../../src/client/drills.js';
import { nextRuns } from '../../../src/config/schedule.js';
import type { DrillOutcome, DrillPlan } from '../../../src/domain/drill/drill.js';
import { reprise } from '../../helpers/cli.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { freePorts } from '../../helpers/ports.js';
import { giveToPostgres } from '../../helpers/postgres-user.js';
import { answer, reaches, refusal, type Told, told } from '../../helpers/site-cli.js';
import { Site } from '../../helpers/site.js';

failOnLeakedProcesses();

let site: Site;
let staging: string;
let publicKey: string;

beforeAll(async () => {
  const [port] = (await freePorts(1)) as [number];
  site = await Site.create();
  const home = join(site.root, 'staging-host');
  await mkdir(home, { mode: 0o700 });
  await giveToPostgres(home);
  staging = join(home, 'staging');
  const key = join(site.root, 'evidence_key');
  await promisify(execFile)('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
  publicKey = `${key}.pub`;
  await site.configure({
    clusterYaml: `      dump-again: { type: dump-again, enabled: false }
    drill: { host: db1, allow_same_host: true, data_dir: ${staging}, port: ${port}, engines: [dump], sign_off: { by: [dba] } }
raci: { drill: { responsible: dba } }
evidence: { signing_key: ${key} }\n`,
  });
  await site.startWorker();
  await site.backUp('dump');
});

/** What completion offers for a line that ends here, with the names that the server knows. */
async function offered(...words: readonly string[]): Promise<readonly string[]> {
  const { address, namespace } = site.session.settings;
  const where = ['--config', site.places.configFile, '--address', address, '--namespace', namespace];
  const env = { REPRISE_COMPLETION_TIMEOUT: '60s' };
  const { stdout } = await reprise(['complete', '--', ...where, ...words], { cwd: '/', env });
  return stdout
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith(':'))
    .map((line) => line.split('\t')[0] ?? '');
}

const drill = (...argv: readonly string[]) => ['drill', ...argv] as const;

describe('P4: drills by the command line, on a real Temporal server', () => {
  it('P4, K7: schedule plan and apply make both schedules, with the calendar of the configuration as the server shows it', async () => {
    const both = ['reprise/mairie/drill', 'reprise/mairie/drill-overdue'];
    const actions = async (verb: string) => {
      const { schedules } = await answer<{ schedules: { id: string; action: string }[] }>(site, 'schedule', verb);
      return schedules.filter(({ id }) => both.includes(id)).map(({ action }) => action);
    };
    expect(await actions('plan')).toEqual(['create', 'create']);
    expect(await actions('apply')).toEqual(['create', 'create']);
    expect(await actions('plan')).toEqual(['none', 'none']);
    const { spec, action, info } = await site.session.client.schedule.getHandle('reprise/mairie/drill').describe();
    expect(spec.calendars).toMatchObject([
      {
        ...{ dayOfWeek: [{ start: 'SUNDAY' }], dayOfMonth: [{ start: 1, end: 7 }] },
        month: ['JANUARY', 'APRIL', 'JULY', 'OCTOBER'].map((start) => expect.objectContaining({ start })),
        ...{ hour: [{ start: 2 }], minute: [{ start: 0 }] },
      },
    ]);
    expect(action).toMatchObject({ workflowType: 'drill', taskQueue: 'reprise', args: [{ cluster: 'mairie' }] });
    // The server's own next runs are those of the configuration, and of `drill list`.
    const due = info.nextActionTimes.slice(0, 4).map((time) => time.toISOString());
    for (const time of due) expect([new Date(time).getUTCDay(), new Date(time).getUTCHours()]).toEqual([0, 2]);
    const { toCome } = await answer<{ toCome: { dueAt: string }[] }>(site, ...drill('list'));
    expect(toCome.map(({ dueAt }) => dueAt)).toEqual(due);
    await site.waitFor(async () => {
      const { schedules } = await answer<{ schedules: { id: string; nextRuns: string[] }[] }>(site, 'schedule', 'list');
      const line = schedules.find(({ id }) => id === both[0]);
      return line !== undefined && due.slice(0, 3).every((time) => line.nextRuns.includes(time));
    }, 'the schedule of the drill is listed');
    expect(nextRuns({ cron: '0 6 * * *' }, new Date(), 1)[0]).toEqual(
      (await site.session.client.schedule.getHandle('reprise/mairie/drill-overdue').describe()).info.nextActionTimes[0],
    );
  });

  it('P4, P5: run, list, show, sign-off and evidence: a drill that its signer fails exits with 8, and what cannot be says so', async () => {
    expect(await refusal(site, ...drill('run', 'nowhere'))).toMatchObject({ exit: 6, code: 'not-found' });
    expect(await refusal(site, ...drill('show', 'none'))).toMatchObject({ exit: 6, code: 'not-found' });
    expect(await refusal(site, ...drill('evidence', 'none'))).toMatchObject({ exit: 6, code: 'not-found' });

    const preview = await answer<{ plan: DrillPlan; dryRun: boolean; workflowId: null }>(
      site,
      ...drill('run', 'mairie', '--dry-run'),
    );
    expect(preview).toMatchObject({
      dryRun: true,
      workflowId: null,
      plan: { restores: [{ policy: 'dump', engine: 'logical' }] },
    });
    expect(await readdir(staging).catch(() => 'absent')).toBe('absent');

    const run: Promise<Told<DrillOutcome>> = told(site, ...drill('run', 'mairie', '--by', 'ops'));
    const list = () => answer<Drills>(site, ...drill('list', 'mairie'));
    const waiting = await site.waitFor(async () => {
      const [open] = (await list()).running;
      return open?.state === 'waiting-sign-off' && open;
    }, 'the drill waits for its sign-off');
    const { drillId: id, workflowId } = waiting;
    expect(workflowId).toBe(`drill/mairie/${id}`);

    const text = (await site.cli('drill', 'list')).stdout;
    expect(text).toMatch(new RegExp(`^${id} .*waiting-sign-off`, 'm'));
    expect(text).toContain(`reprise drill sign-off ${id} --verdict pass`);
    expect(await answer(site, ...drill('show', id))).toMatchObject({
      ...{ drillId: id, workflowId, state: 'waiting-sign-off', verdict: null, signOff: null, evidence: null },
    });
    expect((await site.cli(...drill('show', id))).stdout).toMatch(
      /waits for.*sign-off of dba until .*host=localhost port=/s,
    );
    expect(await refusal(site, ...drill('evidence', id))).toMatchObject({
      exit: 6,
      code: 'not-found',
      hint: expect.stringContaining(`drill show ${id}`),
    });
    for (const verb of ['show', 'sign-off']) expect(await offered('drill', verb, '')).toEqual([id]);
    expect(await offered('drill', 'evidence', '')).toEqual([]);
    expect(await offered('schedule', 'trigger', 'reprise/mairie/d')).toEqual(
      expect.arrayContaining(['reprise/mairie/drill', 'reprise/mairie/drill-overdue']),
    );

    // Two at once, by hand and by the schedule.
    expect(await refusal(site, ...drill('run', 'mairie'))).toMatchObject({
      exit: 7,
      code: 'conflict',
      message: expect.stringContaining(workflowId),
    });
    const second = await answer<{ workflowId: string; follow: string }>(site, ...drill('run', 'mairie', '--detach'));
    expect(second.follow).toContain(`reprise watch ${second.workflowId}`);
    await reaches(site, second.workflowId, 'failed');
    const scheduled = await answer<{ workflowId: string }>(site, 'schedule', 'trigger', 'mairie/drill');
    await reaches(site, scheduled.workflowId, 'failed');
    const overdue = await answer<{ workflowId: string }>(site, 'schedule', 'trigger', 'mairie/drill-overdue');
    await reaches(site, overdue.workflowId, 'completed');

    const signOff = (verdict: string, by: string, ...more: readonly string[]) =>
      drill('sign-off', id, '--verdict', verdict, '--by', by, ...more);
    expect(await refusal(site, ...signOff('pass', 'intern'))).toMatchObject({
      exit: 9,
      code: 'approval-refused',
      hint: expect.stringContaining('dba'),
    });
    expect(await answer(site, ...signOff('fail', 'dba', '--dry-run'))).toMatchObject({ dryRun: true, workflowId });
    expect(await answer(site, ...signOff('fail', 'dba', '--remarks', 'no photos'))).toMatchObject({
      ...{ workflowId, signOff: { verdict: 'fail', by: 'dba', remarks: 'no photos' } },
    });
    const ended = await run;
    expect(ended).toMatchObject({
      exit: 8,
      error: { code: 'check-failed', hint: expect.stringContaining(`drill show ${id}`) },
    });
    expect(ended.document).toMatchObject({
      ...{ drillId: id, verdict: 'fail', signOff: { verdict: 'fail', by: 'dba', remarks: 'no photos' } },
      target: { requested: 'latest', reached: expect.stringContaining('dumps of') },
      ...{ rtoSeconds: expect.any(Number), rpoSeconds: expect.any(Number) },
      evidence: { path: `mairie/evidence/${id}`, sha256: expect.stringMatching(/^[0-9a-f]{64}$/), signed: true },
    });
    expect(ended.document.checks).toContainEqual(expect.objectContaining({ name: 'row-counts', status: 'passed' }));
    expect(await readdir(staging)).toEqual([]);
    expect(await refusal(site, ...signOff('pass', 'dba'))).toMatchObject({ exit: 7, code: 'conflict' });

    expect(await answer(site, ...drill('show', id))).toEqual(ended.document);
    const after = await site.waitFor(async () => {
      const found = await list();
      return found.running.length === 0 && found;
    }, 'no drill is listed as running');
    // The one that the schedule started came to no plan; of one by hand its starter was told.
    expect(after.drills.map(({ verdict }) => verdict)).toEqual(['incomplete', 'fail']);
    expect(after.register.map(({ owner, closedBy }) => [owner, closedBy])).toEqual([
      ['dba', null],
      ['dba', null],
    ]);
    expect((await site.cli('drill', 'list')).stdout).toContain(`drill ${id} failed: `);

    const folder = join(site.places.backupsDir, 'mairie', 'evidence', id);
    expect(await answer(site, ...drill('evidence', id))).toMatchObject({ folder, evidence: { signed: true } });
    for (const what of [id, folder])
      expect(await answer(site, ...drill('evidence', what, '--verify', '--public-key', publicKey))).toMatchObject({
        ...{ ok: true, drills: [{ drill: id, verdict: 'fail' }] },
      });
    expect(await offered('drill', 'evidence', '')).toEqual([id]);
    expect(await offered('drill', 'sign-off', '')).toEqual([]);
    await appendFile(join(folder, 'report.md'), ' ');
    const changed = await told<{ problems: object[] }>(
      site,
      ...drill('evidence', id, '--verify', '--public-key', publicKey),
    );
    expect(changed).toMatchObject({
      exit: 8,
      error: { code: 'check-failed' },
      document: { problems: [{ code: 'file-changed' }] },
    });
  });
});
