import { beforeAll, describe, expect, it } from '@jest/globals';
import type { TemporalSession } from '../../../src/client/connect.js';
import {
  listSchedules,
  pauseSchedule,
  resumeSchedule,
  triggerSchedule,
} from '../../../src/client/schedules/operate-schedules.js';
import { applySchedules, ownerOf, planSchedules } from '../../../src/client/schedules/apply-schedules.js';
import { applyWatches, planWatches } from '../../../src/client/schedules/apply-watches.js';
import { parseConfig } from '../../../src/config/load.js';
import { nextRuns } from '../../../src/config/schedule.js';
import type { Config } from '../../../src/domain/config.js';
import { onCleanup } from '../../helpers/cleanup.js';
import { startKilledTemporal } from '../../helpers/killed-temporal.js';
import { temporalSession } from '../../helpers/temporal-session.js';
import { until } from '../../helpers/until.js';

/** A server of its own: these tests look at all schedules of a namespace, and restart it. */
let session: TemporalSession;
let restart: (downMs: number) => Promise<TemporalSession>;

beforeAll(async () => {
  const server = await startKilledTemporal();
  onCleanup(() => server.stop());
  session = await temporalSession(server.address);
  restart = async (downMs) => {
    await server.restart(downMs);
    return temporalSession(server.address);
  };
});

interface Shape {
  readonly file?: string;
  readonly cron?: string;
  /** Further keys of the schedule. */
  readonly more?: string;
  readonly policies?: readonly string[];
  readonly disabled?: readonly string[];
  readonly watch?: boolean;
  readonly cluster?: string;
  /** Engine of the policies, with what belongs to it. */
  readonly engine?: string;
}

function config({
  file = '/etc/reprise/reprise.yml',
  cron = '30 1 * * *',
  more = 'catch_up: 6h',
  policies = ['nightly'],
  disabled = [],
  watch = false,
  cluster = 'mairie',
  engine = 'engine: logical',
}: Shape = {}): Config {
  const backups = policies.map(
    (name) =>
      `      ${name}: { ${engine}, repository: local, enabled: ${String(!disabled.includes(name))}, schedule: { cron: "${cron}", ${more} }, retention: { days: 14 } }`,
  );
  return parseConfig(
    `version: 1
hosts: { db1: { state_dir: ./state } }
repositories: { local: { type: directory, path: ./repo, host: db1 } }
clusters:
  ${cluster}:
    host: db1
    connection: { host: 127.0.0.1, port: 5432, user: reprise }
    databases: [mairie]
${engine.includes('basebackup') ? '    data_dir: ./pgdata\n    service: { kind: pg_ctl }\n' : ''}    catalogue: local
${watch ? '    watch: { every: 10s, failures: 3 }\n' : ''}    backups:
${backups.join('\n')}
`,
    file,
  ).config;
}

const actions = (changes: readonly { id: string; action: string }[]): Record<string, string> =>
  Object.fromEntries(changes.map(({ id, action }) => [id, action]));
const describeSchedule = (id: string) => session.client.schedule.getHandle(id).describe();

describe('D5: schedules are reconciled with the config', () => {
  it('creates what is missing, with the overlap, catch-up window and calendar of the config, and then finds nothing to do', async () => {
    expect(actions(await planSchedules(session, config()))).toEqual({ 'reprise/mairie/nightly': 'create' });
    await applySchedules(session, config());
    const { policies, spec, action } = await describeSchedule('reprise/mairie/nightly');
    expect(policies).toMatchObject({ overlap: 'SKIP', catchupWindow: 6 * 3_600_000 });
    expect(spec.calendars?.[0]).toMatchObject({ hour: [{ start: 1 }], minute: [{ start: 30 }] });
    expect(action).toMatchObject({
      workflowType: 'backup',
      workflowId: 'backup/mairie/nightly',
      taskQueue: 'reprise',
      args: [{ cluster: 'mairie', requester: 'schedule', order: { policy: 'nightly', type: 'auto' } }],
    });
    expect(actions(await planSchedules(session, config()))).toEqual({ 'reprise/mairie/nightly': 'none' });
  });

  it.each(['*/15 * * * *', '0 2 1-7 * *', '15 8-18/2 * * MON-FRI', '0 3 * JAN,JUL SUN'])(
    '%s comes back from the server as no difference',
    async (cron) => {
      await applySchedules(session, config({ cron }));
      expect(await planSchedules(session, config({ cron }))).toEqual([
        { id: 'reprise/mairie/nightly', action: 'none', reasons: [] },
      ]);
    },
  );

  it('O17: a schedule in a time zone runs when the clocks there show it, on the server as in the config', async () => {
    const paris = config({ cron: '30 4 * * *', more: 'timezone: Europe/Paris' });
    const [change] = await applySchedules(session, paris);
    expect(change).toMatchObject({
      action: 'update',
      reasons: expect.arrayContaining(['time zone: "UTC" becomes "Europe/Paris"']),
    });
    expect(await planSchedules(session, paris)).toMatchObject([{ action: 'none' }]);
    const { info } = await describeSchedule('reprise/mairie/nightly');
    // At the very time that it is due, the server may have looked before us.
    const due = nextRuns({ cron: '30 4 * * *', timezone: 'Europe/Paris' }, new Date(Date.now() - 3_600_000), 2);
    expect(due).toContainEqual(info.nextActionTimes[0]);
    expect(await planSchedules(session, config({ cron: '30 4 * * *' }))).toMatchObject([
      { action: 'update', reasons: ['time zone: "Europe/Paris" becomes "UTC"'] },
    ]);
  });

  it("updates what differs, says what, and keeps an operator's pause and note", async () => {
    await applySchedules(session, config());
    await pauseSchedule(session, 'mairie/nightly', 'dba: storage maintenance');
    const changed = config({ cron: '45 3 * * *' });
    const [change] = await applySchedules(session, changed);
    expect(change).toMatchObject({ action: 'update', reasons: [expect.stringContaining('times')] });
    const { spec, state } = await describeSchedule('reprise/mairie/nightly');
    expect(spec.calendars?.[0]).toMatchObject({ hour: [{ start: 3 }], minute: [{ start: 45 }] });
    expect(state).toMatchObject({ paused: true, note: 'dba: storage maintenance' });
    expect(await resumeSchedule(session, 'reprise/mairie/nightly', 'done')).toMatchObject({ paused: false });
  });

  it('puts right what was changed by hand', async () => {
    await applySchedules(session, config());
    await session.client.schedule
      .getHandle('reprise/mairie/nightly')
      .update((previous) => ({ ...previous, policies: { ...previous.policies, overlap: 'ALLOW_ALL' } }) as never);
    const [change] = await planSchedules(session, config());
    expect(change).toMatchObject({ action: 'update', reasons: [expect.stringContaining('overlap')] });
    await applySchedules(session, config());
    expect((await describeSchedule('reprise/mairie/nightly')).policies.overlap).toBe('SKIP');
  });

  it('deletes ours that the config no longer has or has disabled, and touches nothing else', async () => {
    const settings = {
      spec: { calendars: [{ hour: 4 }] },
      action: { type: 'startWorkflow' as const, workflowType: 'theirs', taskQueue: 'theirs' },
    };
    await session.client.schedule.create({ scheduleId: 'theirs', ...settings });
    await session.client.schedule.create({ scheduleId: 'reprise/looks-like/ours', ...settings });
    const other = config({ file: '/elsewhere/reprise.yml', cluster: 'ecole' });
    await applySchedules(session, other);
    await applySchedules(session, config({ policies: ['nightly', 'weekly', 'monthly'] }));

    const now = config({ policies: ['nightly', 'monthly'], disabled: ['monthly'] });
    // The server's list lags: what it does not show yet cannot be found.
    await listed([
      'theirs',
      'reprise/looks-like/ours',
      'reprise/ecole/nightly',
      'reprise/mairie/weekly',
      'reprise/mairie/monthly',
    ]);
    expect(actions(await applySchedules(session, now))).toEqual({
      'reprise/mairie/nightly': 'none',
      'reprise/mairie/weekly': 'delete',
      'reprise/mairie/monthly': 'delete',
      'reprise/ecole/nightly': 'leave',
      'reprise/looks-like/ours': 'leave',
    });
    for (const id of ['theirs', 'reprise/looks-like/ours', 'reprise/ecole/nightly', 'reprise/mairie/nightly'])
      await describeSchedule(id);
    await expect(describeSchedule('reprise/mairie/weekly')).rejects.toMatchObject({ name: 'ScheduleNotFoundError' });
  });

  it('does not take over a schedule of the same id that it did not make', async () => {
    await session.client.schedule.create({
      scheduleId: 'reprise/mairie/foreign',
      spec: { calendars: [{ hour: 4 }] },
      action: { type: 'startWorkflow', workflowType: 'theirs', taskQueue: 'theirs' },
    });
    const changes = actions(await applySchedules(session, config({ policies: ['nightly', 'foreign'] })));
    expect(changes['reprise/mairie/foreign']).toBe('leave');
    expect((await describeSchedule('reprise/mairie/foreign')).action.workflowType).toBe('theirs');
    await expect(pauseSchedule(session, 'mairie/foreign', 'x')).rejects.toMatchObject({ code: 'not-found' });
  });

  it('starts a backup now, once, and says its workflow id', async () => {
    // Of a policy of its own, half a day from now: what another schedule began by itself is no run of this one.
    const cron = `30 ${(new Date().getUTCHours() + 12) % 24} * * *`;
    await applySchedules(session, config({ cron, policies: ['asked'] }));
    const workflowId = await triggerSchedule(session, 'mairie/asked');
    expect(workflowId).toMatch(/^backup\/mairie\/asked-/);
    expect(await triggerSchedule(session, 'mairie/asked')).toBeNull();
    await session.client.workflow.getHandle(workflowId ?? '').terminate();
  });

  it('F27: reports the runs that were missed while the server was away for longer than the catch-up window', async () => {
    const action = {
      type: 'startWorkflow' as const,
      workflowType: 'backup',
      taskQueue: 'reprise',
      workflowId: 'backup/mairie/often',
    };
    // Every second, and the shortest window the server takes.
    const spec = { intervals: [{ every: '1s' }] };
    const memo = { reprise: { owner: ownerOf(config()), cluster: 'mairie', policy: 'often' } };
    await session.client.schedule.create({
      scheduleId: 'reprise/mairie/often',
      spec,
      action,
      memo,
      policies: { overlap: 'SKIP', catchupWindow: '10s' },
    });
    // Before its first run the server owes none.
    await until(async () => (await describeSchedule('reprise/mairie/often')).info.numActionsTaken > 0, 'it ran');
    session = await restart(16_000);
    const missed = async (): Promise<number> =>
      (await listSchedules(session)).find(({ id }) => id === 'reprise/mairie/often')?.missedRuns ?? 0;
    await until(async () => (await missed()) > 0, 'runs were missed');
    await session.client.schedule.getHandle('reprise/mairie/often').delete();
  });
});

describe('watches are reconciled with the config', () => {
  it("starts one a cluster, once, and stops it when the config no longer has it; leaves another configuration's", async () => {
    const foreign = config({ file: '/elsewhere/reprise.yml', cluster: 'ecole', watch: true });
    expect(await applyWatches(session, foreign)).toMatchObject([{ workflowId: 'watch/ecole', action: 'start' }]);
    const watched = config({ watch: true });
    expect((await applyWatches(session, watched))[0]).toMatchObject({ workflowId: 'watch/mairie', action: 'start' });
    expect((await planWatches(session, watched))[0]).toMatchObject({ workflowId: 'watch/mairie', action: 'none' });
    await listedWork(['watch/mairie', 'watch/ecole']);
    const changes = await applyWatches(session, config());
    expect(Object.fromEntries(changes.map(({ workflowId, action }) => [workflowId, action]))).toEqual({
      'watch/mairie': 'stop',
      'watch/ecole': 'leave',
    });
    expect((await session.client.workflow.getHandle('watch/mairie').describe()).status.name).toBe('TERMINATED');
    expect((await session.client.workflow.getHandle('watch/ecole').describe()).status.name).toBe('RUNNING');
  });
});

describe('K8: the receiving of WAL is reconciled with the config', () => {
  it('is started once for a policy that wants it, and cancelled, so that its program ends, where the config has it no more', async () => {
    const receiving = config({ cluster: 'archives', engine: 'engine: basebackup, options: { wal: receivewal }' });
    const of = (changes: Awaited<ReturnType<typeof applyWatches>>) =>
      changes.filter(({ workflowId }) => workflowId.startsWith('archive/'));
    expect(of(await applyWatches(session, receiving))).toMatchObject([
      { workflowId: expect.stringMatching(/^archive\/archives\//) as unknown, action: 'start' },
    ]);
    const [planned] = of(await planWatches(session, receiving));
    expect(planned).toMatchObject({ action: 'none' });
    await listedWork([planned?.workflowId ?? '']);
    expect(of(await applyWatches(session, config({ cluster: 'archives' })))).toMatchObject([{ action: 'stop' }]);
    const { events } = await session.client.workflow.getHandle(planned?.workflowId ?? '').fetchHistory();
    expect(events?.some(({ workflowExecutionCancelRequestedEventAttributes: cancelled }) => cancelled != null)).toBe(
      true,
    );
  });
});

async function listed(ids: readonly string[]): Promise<void> {
  await until(
    async () => {
      const seen = new Set<string>();
      for await (const { scheduleId } of session.client.schedule.list()) seen.add(scheduleId);
      return ids.every((id) => seen.has(id));
    },
    `${ids.join(', ')} are listed`,
  );
}

async function listedWork(ids: readonly string[]): Promise<void> {
  await until(
    async () => {
      const seen = new Set<string>();
      for await (const { workflowId } of session.client.workflow.list({ query: "ExecutionStatus = 'Running'" }))
        seen.add(workflowId);
      return ids.every((id) => seen.has(id));
    },
    `${ids.join(', ')} run`,
  );
}
