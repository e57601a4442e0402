import { beforeAll, expect, it } from '@jest/globals';
import { join } from 'node:path';
import { scheduleActivities } from '../../src/activities/control/schedules.js';
import { dailyCheckActivities } from '../../src/activities/inspection/daily-check.js';
import { toldEvents } from '../../src/activities/control/notify.js';
import { findingsOf } from '../../src/client/checks/temporal-findings.js';
import type { TemporalSession } from '../../src/client/connect.js';
import { applySchedules } from '../../src/client/schedules/apply-schedules.js';
import { pauseSchedule, resumeSchedule } from '../../src/client/schedules/operate-schedules.js';
import { parseConfig } from '../../src/config/load.js';
import type { Config } from '../../src/domain/config.js';
import type { NoticeFacts } from '../../src/domain/notification/notices.js';
import { workflowTypes } from '../../src/domain/operation/names.js';
import { controlDependencies, hostDependencies } from '../../src/worker/dependencies.js';
import type { DailyCheckOutput } from '../../src/workflows/api.js';
import { onCleanup } from '../helpers/cleanup.js';
import { tempDir } from '../helpers/temp.js';
import { startTemporalServer } from '../helpers/temporal-server.js';
import { temporalSession } from '../helpers/temporal-session.js';
import { type Case, HOST, Lab } from './lab.js';
import { wellBehaved } from './well-behaved.js';

const CLUSTER = 'daily';
const DAY_MS = 86_400_000;
const NIGHTLY = `schedule/reprise/${CLUSTER}/nightly`;
const ALARM = `reprise/${CLUSTER}/daily-check`;
const RECEIVER = `archive/${CLUSTER}/wal`;

let lab: Lab;
let session: TemporalSession;
let config: Config;

/** On a server with schedules: the time-skipping one has none. */
beforeAll(async () => {
  const server = await startTemporalServer();
  onCleanup(() => server.stop());
  [lab, session] = await Promise.all([Lab.on(server.address), temporalSession(server.address)]);
  const root = await tempDir('daily-check');
  config = parseConfig(
    `version: 1
hosts: { ${HOST}: { state_dir: ./state } }
repositories: { local: { type: directory, path: ./repository, host: ${HOST} } }
clusters:
  ${CLUSTER}:
    host: ${HOST}
    connection: { host: 127.0.0.1, port: 1, user: reprise }
    databases: [mairie]
    data_dir: ./data
    service: { kind: pg_ctl }
    catalogue: local
    backups:
      nightly: { engine: logical, repository: local, schedule: { cron: "30 1 * * *", catch_up: 6h } }
      wal: { engine: basebackup, repository: local, options: { wal: receivewal } }
notifiers:
  out: { type: webhook, url: "https://example.org/hook", secret: { env: HOOK } }
  outside: { type: heartbeat, url: "https://example.org/ping" }
contacts: { ops: { out: ops } }
notify: { failure: [out] }
`,
    join(root, 'reprise.yml'),
  ).config;
});

/** The notices of the check, once `count` of them were sent; and the signals to the service outside. */
async function sent(one: Case, count: number): Promise<{ notices: NoticeFacts[]; signals: string[] }> {
  const facts = () => one.of('sendNotice').map(({ notice }) => (notice as { facts: NoticeFacts }).facts);
  const ofCheck = () => facts().filter(({ kind }) => kind === 'daily-check' || kind === 'failed');
  await one.until(
    async () => (ofCheck().length >= count ? true : null),
    async () => JSON.stringify(facts()),
  );
  return { notices: ofCheck(), signals: facts().flatMap((one) => (one.kind === 'run' ? [one.state] : [])) };
}

it('K7: a schedule that is paused or gone, and backups that do not come, are told by themselves: each once a day, and once when they are over', async () => {
  const real = {
    ...scheduleActivities(controlDependencies(config, undefined)),
    ...dailyCheckActivities(hostDependencies(config, HOST)),
  };
  // Days pass for the activities: schedules were made now, and owe nothing before.
  let daysOn = 0;
  let isBroken = false;
  const then = (now: string): string => new Date(Date.parse(now) + daysOn * DAY_MS).toISOString();
  const one = lab.case(
    {
      describeCluster: async (input) => ({ ...(await wellBehaved.describeCluster(input)), tells: toldEvents(config) }),
      deliveriesOf: async ({ notice }) => [
        { notifier: notice.facts.kind === 'run' ? 'outside' : 'out', first: [], others: [] },
      ],
      lookAtSchedules: (input) => real.lookAtSchedules({ ...input, now: then(input.now) }),
      recordDailyCheck: (input) =>
        isBroken
          ? real.recordDailyCheck({ ...input, cluster: 'gone' })
          : real.recordDailyCheck({ ...input, now: then(input.now) }),
    },
    CLUSTER,
  );
  let runs = 0;
  const check = async (): Promise<DailyCheckOutput> => {
    const handle = await one.start(workflowTypes.dailyCheck, `daily-check/CLUSTER/${++runs}`, {});
    return (await handle.result()) as DailyCheckOutput;
  };
  const found = ({ open }: DailyCheckOutput) => open.map(({ check: name }) => name).toSorted();
  const missing = ['backup/daily/nightly', 'backup/daily/wal', 'wal/daily/wal', 'watch/daily'];

  await applySchedules(session, config);
  const { action } = await session.client.schedule.getHandle(ALARM).describe();
  expect(action).toMatchObject({ workflowType: workflowTypes.dailyCheck, args: [{ cluster: CLUSTER }] });

  // Schedules are new: what is missing are the backups, the watch, and the workflow that receives WAL.
  const first = await check();
  expect(found(first)).toEqual([RECEIVER, ...missing]);
  expect(first.told.toSorted()).toEqual(found(first));
  await sent(one, 1);
  expect(await check()).toMatchObject({ told: [], over: [] });

  await pauseSchedule(session, `${CLUSTER}/nightly`, 'new disk');
  daysOn = 2;
  const second = await check();
  expect(found(second)).toEqual([RECEIVER, ...missing, NIGHTLY, `schedule/${ALARM}`].toSorted());
  expect(second.open.find(({ check: name }) => name === NIGHTLY)?.message).toMatch(
    /is paused \(new disk\): its run of .*T01:30Z did not take place$/,
  );
  await sent(one, 2);
  expect((await check()).told).toEqual([]);

  // It runs again, and as of yesterday nothing is owed.
  await resumeSchedule(session, `${CLUSTER}/nightly`, 'done');
  daysOn = 0;
  expect(await check()).toMatchObject({ told: [], over: [{ check: NIGHTLY }, { check: `schedule/${ALARM}` }] });
  await sent(one, 3);

  // Somebody deleted it, and the alarm itself: check and doctor say that.
  await session.client.schedule.getHandle(`reprise/${CLUSTER}/nightly`).delete();
  await session.client.schedule.getHandle(ALARM).delete();
  expect((await check()).told).toContain(NIGHTLY);
  await sent(one, 4);
  const { findings } = await findingsOf(session, config);
  expect(findings.find(({ check: name }) => name === `schedule/${ALARM}`)).toMatchObject({
    level: 'problem',
    message: expect.stringContaining('Without it nobody is told of what was missed'),
    fix: 'reprise schedule apply',
  });

  // What cannot look says so.
  isBroken = true;
  await expect(check()).rejects.toThrow();
  const { notices, signals } = await sent(one, 5);
  expect(notices.map(({ kind }) => kind)).toEqual([...Array<string>(4).fill('daily-check'), 'failed']);
  expect(notices[2]).toMatchObject({
    found: [],
    over: [expect.stringContaining('is paused (new disk)'), expect.anything()],
  });
  expect(notices[4]).toMatchObject({ what: 'daily check', code: 'not-found' });
  // A service outside hears of each one that it began, and that not all is well.
  expect(signals.filter((state) => state === 'started')).toHaveLength(runs);
  expect(signals.filter((state) => state === 'failed')).toHaveLength(runs);
});
