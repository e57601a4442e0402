import { expect, it } from '@jest/globals';
import type { TemporalSession } from '../../../src/client/connect.js';
import { applySchedules, planSchedules } from '../../../src/client/schedules/apply-schedules.js';
import { listSchedules } from '../../../src/client/schedules/operate-schedules.js';
import { parseConfig } from '../../../src/config/load.js';
import type { Config } from '../../../src/domain/config.js';

const MANY = 300;

interface Kept {
  readonly scheduleId: string;
  readonly memo: object;
  readonly spec: { readonly calendars: readonly object[]; readonly timezone: string };
  readonly action: { readonly workflowType: string };
  readonly policies: { readonly overlap: string; readonly catchupWindow: number };
}

/** As much of a server as schedules need; it counts for whom it was asked one by one. */
class FakeServer {
  readonly kept = new Map<string, Kept>();
  asked: string[] = [];
  private busy = 0;
  mostAtOnce = 0;

  get session(): TemporalSession {
    const { kept } = this;
    const view = (one: Kept) => ({
      ...one,
      state: { paused: false },
      info: { recentActions: [], nextActionTimes: [] },
    });
    const schedule = {
      create: (one: Kept) => this.call(() => kept.set(one.scheduleId, one)),
      list: async function* () {
        yield* [...kept.values()].map(view);
      },
      getHandle: (id: string) => ({
        describe: () =>
          this.call(() => {
            this.asked.push(id);
            const found = kept.get(id);
            if (found === undefined) throw Object.assign(new Error(id), { name: 'ScheduleNotFoundError' });
            return { ...view(found), policies: { ...found.policies, pauseOnFailure: false } };
          }),
        update: (change: (previous: Kept) => Partial<Kept>) =>
          this.call(() => {
            const before = kept.get(id) as Kept;
            kept.set(id, { ...before, ...change(before) });
          }),
      }),
    };
    return { client: { schedule } } as unknown as TemporalSession;
  }

  private async call<T>(run: () => T): Promise<T> {
    this.busy += 1;
    this.mostAtOnce = Math.max(this.mostAtOnce, this.busy);
    await new Promise((resolve) => setImmediate(resolve));
    this.busy -= 1;
    return run();
  }
}

function configOf(count: number, changed: Readonly<Record<number, string>> = {}): Config {
  const clusters = Array.from(
    { length: count },
    (_none, index) =>
      `  c${index}: { connection: { user: reprise, port: ${index + 1} }, databases: [app], backups: { nightly: { engine: logical, schedule: ${changed[index] ?? '{ cron: "30 1 * * *" }'} } } }\n`,
  );
  return parseConfig(`version: 1\nclusters:\n${clusters.join('')}`, '/etc/reprise/reprise.yml').config;
}

function actions(changes: readonly { id: string; action: string }[]): Record<string, string[]> {
  const found: Record<string, string[]> = {};
  for (const { id, action } of changes) (found[action] ??= []).push(id);
  return found;
}

it('D5: schedules of a fleet are made side by side, and with nothing to do none is asked for', async () => {
  const server = new FakeServer();
  const config = configOf(MANY);
  const told: number[] = [];
  const made = await applySchedules(server.session, config, (done, total) => told.push(done / total));
  expect(actions(made)['create']).toHaveLength(MANY);
  expect([told.length, told.at(-1)]).toEqual([MANY, 1]);
  expect(server.mostAtOnce).toBeGreaterThan(8);
  server.asked = [];
  expect(actions(await planSchedules(server.session, config))['none']).toHaveLength(MANY);
  expect(await listSchedules(server.session)).toHaveLength(MANY);
  expect(server.asked).toEqual([]);
});

it('D5: of a fleet only what differs is asked for and changed, also where it once was as it is wanted now', async () => {
  const server = new FakeServer();
  const before = configOf(MANY);
  await applySchedules(server.session, before);
  const after = configOf(MANY, { 3: '{ cron: "30 1 * * *", catch_up: 1h }', 4: '{ cron: "45 1 * * *" }' });
  const changed = ['reprise/c3/nightly', 'reprise/c4/nightly'];
  server.asked = [];
  expect(actions(await applySchedules(server.session, after))['update']).toEqual(changed);
  expect(server.asked).toEqual(changed);
  expect(actions(await applySchedules(server.session, before))['update']).toEqual(changed);
  expect(server.kept.get('reprise/c3/nightly')?.policies.catchupWindow).toBe(6 * 3_600_000);
  // What somebody else put in the place of ours, or changed the times of, shows in the list.
  server.kept.set('reprise/c5/nightly', { ...(server.kept.get('reprise/c5/nightly') as Kept), memo: {} });
  const sixth = server.kept.get('reprise/c6/nightly') as Kept;
  server.kept.set('reprise/c6/nightly', {
    ...sixth,
    spec: { ...sixth.spec, calendars: [{ ...sixth.spec.calendars[0], hour: [{ start: 9 }] }] },
  });
  server.kept.delete('reprise/c7/nightly');
  const { none, ...others } = actions(await planSchedules(server.session, before));
  expect(none).toHaveLength(MANY - 3);
  expect(others).toEqual({
    leave: ['reprise/c5/nightly'],
    update: ['reprise/c6/nightly'],
    create: ['reprise/c7/nightly'],
  });
});

it('D5: of few schedules each is asked for, so that whatever was changed by hand is found', async () => {
  const server = new FakeServer();
  const config = configOf(20);
  await applySchedules(server.session, config);
  const first = server.kept.get('reprise/c0/nightly') as Kept;
  server.kept.set('reprise/c0/nightly', { ...first, policies: { ...first.policies, overlap: 'ALLOW_ALL' } });
  expect(actions(await planSchedules(server.session, config))['update']).toEqual(['reprise/c0/nightly']);
});
