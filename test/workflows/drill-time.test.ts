import { beforeAll, expect, it } from '@jest/globals';
import type { ClusterContext } from '../../src/activities/cluster-context.js';
import type { HostDependencies } from '../../src/activities/dependencies.js';
import { recordDrill, registerActivities } from '../../src/activities/drill/register.js';
import { previousRuns } from '../../src/config/schedule.js';
import type { ClusterConfig } from '../../src/domain/config.js';
import { signalNames, workflowTypes } from '../../src/domain/operation/names.js';
import type { DrillOrder } from '../../src/domain/operation/orders.js';
import { openCatalogue } from '../../src/records/catalogue.js';
import { openDirectory } from '../../src/storage/directory/directory-storage.js';
import { tempDir } from '../helpers/temp.js';
import { StagingHost, drillOutcomeOf, failedCheck, outcomeOf, passedCheck, signsOff, told, word } from './drills.js';
import { type Activities, type Case, HOST, Lab } from './lab.js';
import { wellBehaved } from './well-behaved.js';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.skipping();
});

/** Hours in place of days: reminded after half of them, escalated after four fifths. */
const HOUR = 3600;
const within = (withinSeconds: number) => ({ by: ['qa'], withinSeconds });
const describe =
  (withinSeconds: number): Activities['describeCluster'] =>
  async (input) => ({
    ...(await wellBehaved.describeCluster(input)),
    drill: { host: HOST, signOff: within(withinSeconds) },
    tells: ['drill-failed', 'drill-overdue', 'sign-off'],
  });

async function startDrill(withinSeconds: number, order: DrillOrder = {}): Promise<Case> {
  const describeCluster = describe(withinSeconds);
  const one = lab.case({ ...new StagingHost().activities(), describeCluster });
  await one.start(workflowTypes.drill, 'drill/CLUSTER/op', { requester: 'ops', order, operationId: 'op' });
  return one;
}

const hears = (one: Case, what: string): Promise<unknown> =>
  one.until(
    async () => (told(one).includes(what) ? true : null),
    async () => told(one).join(),
  );

/** Of a sign-off within the hour. */
async function isEscalated(one: Case): Promise<void> {
  await hears(one, 'asked');
  await lab.pass('31 minutes');
  await hears(one, 'reminder');
  await lab.pass('18 minutes');
  await hears(one, 'escalation');
}

it('P5: the sign-off is asked for at once, reminded of, escalated; without an answer the drill is incomplete', async () => {
  const one = await startDrill(HOUR);
  await one.state('waiting-sign-off');
  await isEscalated(one);
  expect(told(one)).toEqual(['asked', 'reminder', 'escalation']);
  await lab.pass('15 minutes');
  const outcome = await outcomeOf(one.workflow);
  expect(outcome).toMatchObject({ verdict: 'incomplete', signOff: null });
  expect(outcome.reason).toMatch(/^nobody signed it off until .*Z \(qa\)$/);
  await hears(one, 'incomplete');
});

it('P5: staging stays for the time that was asked, or until somebody has it emptied', async () => {
  const one = await startDrill(HOUR, { keepSeconds: HOUR });
  await one.state('waiting-sign-off');
  await signsOff(one, { ...word, keep: '4h' });
  await one.called('sealEvidence');
  await one.until(
    async () => ((await one.status()).waitingFor?.includes('time for which staging is kept') ? true : null),
    async () => JSON.stringify(await one.status()),
  );
  expect(one.of('closeStaging')).toEqual([]);
  await one.workflow.signal(signalNames.continue, { by: 'qa', reason: 'seen' });
  expect((await outcomeOf(one.workflow)).verdict).toBe('pass');
  expect(one.of('closeStaging')).toHaveLength(1);
});

it('P4 P5 K7: a quarter: by the calendar, restored, checked, reminded, escalated, signed off, recorded, the register closed; the next one is overdue', async () => {
  const schedule = { cron: '0 2 1-7 1,4,7,10 0', catchUpSeconds: 3600 };
  const storage = openDirectory({ path: await tempDir('quarter') });
  const catalogue = openCatalogue(storage, 'quarter');
  const cluster = {
    ...{ name: 'quarter', host: HOST, catalogue: 'local', databases: [], policies: {}, checks: {} },
    connection: { host: '127.0.0.1', port: 1, user: 'reprise', maintenanceDatabase: 'postgres' },
    drill: { host: HOST, schedule, signOff: within(HOUR) },
  } as unknown as ClusterConfig;
  const deps = {
    host: HOST,
    config: {
      clusters: { quarter: cluster },
      hosts: { [HOST]: { name: HOST, stateDir: await tempDir('state') } },
      repositories: { local: { name: 'local', type: 'directory', options: {} } },
      raci: { drill: ['ops', 'qa'] },
    },
    openStorage: () => storage,
    jobUser: async () => null,
  } as unknown as HostDependencies;
  const context = { deps, catalogue, cluster } as unknown as ClusterContext;
  const register = async () => (await catalogue.state()).register;
  // Two quarters of the calendar that are over: in the first one there is a drill.
  const [next, due] = previousRuns(schedule, new Date(Date.now() - 30 * 86_400_000), 2);
  if (!due || !next) throw new Error('the calendar has no drill');
  const before = new Date(due.getTime() - 90 * 86_400_000).toISOString();
  // The quarter before, a drill failed: its entry is open.
  const failed = {
    cluster: 'quarter',
    operationId: 'before',
    workflowId: 'drill/quarter/before',
    ended: 'done' as const,
  };
  await catalogue.append({ id: 'first', at: before, operationId: 'b', by: 'reprise', kind: 'unpin' });
  await recordDrill(
    context,
    failed,
    drillOutcomeOf(failed, [failedCheck('physical')], null, { startedAt: before, finishedAt: before }),
    {
      policies: ['physical'],
      cancelled: false,
    },
  );
  expect(await register()).toMatchObject([{ what: 'drill-failed', owner: 'ops', closedBy: null }]);

  let lastDue = due;
  const staging = new StagingHost();
  const one = lab.case(
    {
      ...staging.activities(),
      ...registerActivities(deps),
      describeCluster: describe(HOUR),
      lastDrillDue: async () => lastDue.toISOString(),
      sealEvidence: async (step) => {
        const times = { startedAt: due.toISOString(), finishedAt: new Date().toISOString() };
        const outcome = drillOutcomeOf(step, [passedCheck('physical')], staging.signOff, times);
        await recordDrill(context, step, outcome, { policies: ['physical'], cancelled: step.ended === 'cancelled' });
        return outcome;
      },
    },
    'quarter',
  );
  expect([due.getUTCDay(), due.getUTCHours(), [0, 3, 6, 9].includes(due.getUTCMonth())]).toEqual([0, 2, true]);
  // As the server starts it: the time in its id, and no operation id.
  const id = `drill/CLUSTER/scheduled-${due.toISOString().replace('.000Z', 'Z')}`;
  const drill = await one.start(workflowTypes.drill, id, { requester: 'schedule', order: {} });
  await one.state('waiting-sign-off', drill);
  await isEscalated(one);
  await signsOff(one);
  const outcome = await outcomeOf(drill);
  expect(outcome).toMatchObject({ verdict: 'pass', signOff: { by: 'qa' }, evidence: { signed: true } });
  expect((await catalogue.state()).drills.map(({ verdict }) => verdict)).toEqual(['fail', 'pass']);
  expect(await register()).toMatchObject([{ closedBy: outcome.drillId }]);

  const look = async (name: string) => {
    const handle = await one.start(workflowTypes.drillOverdue, `drill-overdue/CLUSTER/${name}`, {});
    return handle.result();
  };
  expect(await look('after')).toEqual({ dueAt: due.toISOString(), entry: null });
  // Nobody runs the next one. Its day, the time for its sign-off and a day are over.
  lastDue = next;
  expect(await look('next')).toMatchObject({
    dueAt: next.toISOString(),
    entry: { what: 'drill-overdue', owner: 'ops' },
  });
  await hears(one, 'overdue');
  await look('again');
  expect(told(one).filter((what) => what === 'overdue')).toHaveLength(1);
  expect((await register()).filter(({ closedBy }) => closedBy === null)).toMatchObject([{ what: 'drill-overdue' }]);
});
