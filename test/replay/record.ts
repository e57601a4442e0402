import { readdir, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { beforeAll, expect, it } from '@jest/globals';
import type { WorkflowHandle } from '@temporalio/client';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import type { WatchFinding } from '../../src/activities/api.js';
import {
  CONTROL_QUEUE,
  archiveWorkflowId,
  holdWorkflowId,
  incidentWorkflowId,
  notifyWorkflowId,
  recoverWorkflowId,
  signalNames,
  slotsWorkflowId,
  updateNames,
  watchWorkflowId,
  workflowTypes,
} from '../../src/domain/operation/names.js';
import type { ErrorCode } from '../../src/domain/errors.js';
import type { PlanBinding } from '../../src/domain/plan/plan.js';
import { onCleanup } from '../helpers/cleanup.js';
import { startTemporalServer } from '../helpers/temporal-server.js';
import { type Activities, type Case, HOST, Lab, failure, untilCancelled } from '../workflows/lab.js';
import { openedInstanceOf } from '../workflows/instances.js';
import { StagingHost, entryFor, failedCheck } from '../workflows/drills.js';
import { Locks } from '../workflows/locks.js';
import { type Recovery, person, startRecovery } from '../workflows/recoveries.js';
import { repairPlanOf, tableSurvey } from '../workflows/repairs.js';
import { planOf, wellBehaved } from '../workflows/well-behaved.js';
import type { ChosenRepair } from '../../src/workflows/api.js';

/**
 * Records the histories that `replay.test.ts` replays: `node scripts/record-histories.mjs`. Every workflow on a real server,
 * with activities that do nothing, on its good and on its sad paths.
 */
const directory = new URL('./histories/', import.meta.url);

let lab: Lab;
beforeAll(async () => {
  const server = await startTemporalServer();
  onCleanup(() => server.stop());
  lab = await Lab.on(server.address);
  for (const name of await readdir(directory)) await rm(new URL(name, directory));
});

/** No path and no host of this machine; a worker is named by its process and host. */
async function save(name: string, handle: WorkflowHandle): Promise<void> {
  const history = JSON.parse(historyToJSON(await handle.fetchHistory())) as object;
  const text = JSON.stringify(history)
    .replaceAll(process.cwd(), '/srv/reprise')
    .replaceAll(new RegExp(`\\d+@${hostname()}`, 'g'), 'worker@host');
  for (const [, data = ''] of text.matchAll(/"data":"([A-Za-z0-9+/=]+)"/g))
    expect(Buffer.from(data, 'base64').toString()).not.toContain(process.cwd());
  expect(text).not.toContain(hostname());
  await writeFile(new URL(`${name}.json`, directory), `${text}\n`);
}

const ended = (handle: WorkflowHandle): Promise<unknown> => handle.result().catch(() => undefined);
const fails = (code: ErrorCode, times = Infinity) => {
  let left = times;
  return async (): Promise<never> => {
    if (--left >= 0) throw failure(code, 'it failed');
    return undefined as never;
  };
};
const tells: Partial<Activities> = {
  describeCluster: async () => ({
    host: 'db1',
    configDigest: 'config',
    policies: { nightly: { engine: 'logical', repository: 'local', enabled: true, proof: 'verify' } },
    tells: ['failure', 'waiting-approval', 'incident', 'recovered'],
  }),
};
const holder = {
  operationId: 'b',
  kind: 'backup',
  policy: 'nightly',
  engine: 'logical',
  repository: 'local',
  workflowId: 'backup/c/nightly',
  runId: 'b-1',
  since: '2026-11-21T01:30:00Z',
  token: 1,
} as const;
const locked: Partial<Activities> = { acquireLock: async () => ({ granted: false, holder }) };
const asked = { operationId: 'op', requester: 'ops' };

/** One waits for the only slot, which is then released. */
async function slotsGivenOut(): Promise<void> {
  const slot = { host: HOST, kind: 'heavy' } as const;
  lab.case({}, HOST);
  const slots = await lab.client.workflow.start(workflowTypes.slots, {
    workflowId: slotsWorkflowId(slot.host, slot.kind),
    taskQueue: CONTROL_QUEUE,
    args: [slot],
  });
  onCleanup(() => slots.terminate('recorded').catch(() => undefined));
  const claim = (name: string) => ({
    ...slot,
    workflowId: `backup/${name}/nightly`,
    runId: 'first',
    operationId: name,
  });
  for (const name of ['a', 'b'])
    await slots.executeUpdate(updateNames.acquire, { args: [{ claim: { ...claim(name), capacity: 1 }, waits: true }] });
  await slots.executeUpdate(updateNames.release, { args: [claim('a')] });
  await save('hostSlots.given-out', slots);
}

/** Starts a workflow, lets something happen to it, waits for its end and keeps its history. */
async function record(
  name: string,
  id: string,
  input: object,
  activities: Partial<Activities> = {},
  happens: (one: Case) => Promise<unknown> = () => Promise.resolve(),
): Promise<void> {
  const [type = ''] = name.split('.');
  const one = lab.case({ ...tells, ...activities });
  const handle = await one.start(type, id, input);
  await happens(one);
  await ended(handle);
  await save(name, handle);
}
const cancelledIn = (activity: keyof Activities) => async (one: Case) => {
  await one.called(activity);
  await one.workflow.cancel();
};

const approves = async (one: Case): Promise<void> => {
  await one.state('waiting-approval');
  const plan = (await one.status()).plan?.slice(0, 12);
  await one.workflow.executeUpdate(updateNames.approve, { args: [{ ...person, plan }] });
};
const rejects = async (one: Case): Promise<void> => {
  await one.state('waiting-approval');
  await one.workflow.executeUpdate(updateNames.reject, { args: [person] });
};

it('backup, rotation, verification, adoption', async () => {
  const order = { policy: 'nightly', type: 'auto' };
  const backup = (path: string, ...more: [Partial<Activities>?, ((one: Case) => Promise<unknown>)?]) =>
    record(`backup.${path}`, 'backup/CLUSTER/nightly', { ...asked, order }, ...more);
  await backup('completed');
  await backup('locked', locked);
  await backup('failed', { runBackup: fails('disk-full') });
  await backup('damaged', { proveBackup: async () => ({ ok: false, detail: 'checksum differs' }) });
  await backup('cancelled', { runBackup: untilCancelled }, cancelledIn('runBackup'));
  const rotation = (path: string, ...more: [Partial<Activities>?]) =>
    record(`rotate.${path}`, 'rotate/CLUSTER/nightly', { ...asked, order: { policy: 'nightly' } }, ...more);
  await rotation('completed');
  await rotation('locked', locked);
  await rotation('failed', { rotateBackups: fails('tool-rejected') });
  for (const restore of [false, true])
    await record(`verifyBackup.${restore ? 'restored' : 'read'}`, 'verify/CLUSTER/b1', {
      ...asked,
      order: { backupId: 'b1', restore },
    });
  await record('adopt.completed', 'adopt/CLUSTER', { ...asked, order: { from: 'old-dumps' } }, {}, approves);
  await record('adopt.locked', 'adopt/CLUSTER', { ...asked, order: {} }, locked, approves);
  await record('adopt.rejected', 'adopt/CLUSTER', { ...asked, order: {} }, {}, rejects);
});

it('acts that cannot be undone', async () => {
  const drop = (path: string, ...more: [Partial<Activities>?, ((one: Case) => Promise<unknown>)?]) =>
    record(
      `action.${path}`,
      'kept-drop/CLUSTER/op',
      { ...asked, order: { kind: 'kept-drop', id: 'op-1/old' } },
      ...more,
    );
  await drop('completed', {}, approves);
  await drop('rejected', {}, rejects);
  await drop('failed', { applyAction: fails('tool-rejected') }, approves);
  await drop('stale', { recheckAction: async () => ({ digest: 'f'.repeat(64) }) }, approves);
});

/** One recovery; `happens` follows its first approval. */
async function recovery(
  path: string,
  binding: Partial<PlanBinding>,
  activities: Partial<Activities> = {},
  happens: (one: Recovery) => Promise<unknown> = () => Promise.resolve(),
  approved = true,
): Promise<Recovery> {
  const one = await startRecovery(lab, { ...tells, ...activities }, binding);
  if (approved) await one.approved();
  await happens(one);
  if (!path.endsWith('-open')) await ended(one.seen.workflow);
  await save(`recover.${path}`, one.seen.workflow);
  return one;
}
const hooks = ['stop-applications'];
const undoHooks = { 'stop-applications': 'thaw-applications' };
const wrong = { name: 'rows', status: 'failed', detail: '3 instead of 4' } as const;
const media = {
  name: 'photos',
  instant: '2026-11-21T01:00:00.000Z',
  counts: { undelete: { objects: 1, bytes: 1 }, overwrite: { objects: 0, bytes: 0 }, copy: { objects: 0, bytes: 0 } },
  digest: 'd',
};
/** Each plan is another one, so that the approval of the one before does not count. */
const otherPlans = (binding: Partial<PlanBinding> = {}): Partial<Activities> => {
  let port = 5000;
  return {
    planRecovery: async ({ cluster, operationId }) => planOf({ cluster, operationId, ...binding, port: ++port }),
  };
};
const secondPlan = async (one: Recovery): Promise<void> => {
  await one.seen.called('planRecovery', 2);
  await one.approved();
};

it('recoveries that end well', async () => {
  const target = { kind: 'time', time: '2026-11-21T02:00:00Z' } as const;
  const later = { kind: 'time', time: '2026-11-21T02:10:00Z' } as const;
  await recovery('data-directory', { hooks: [...hooks, 'start-applications'] });
  await recovery('beside', { into: 'beside' });
  await recovery('databases', { method: 'databases', hooks, undoHooks, media });
  await recovery('restart', { method: 'restart', hooks: ['start-applications'] });
  await recovery('retargeted', { pause: true, target }, {}, async (one) => {
    await one.seen.state('paused');
    await one.seen.workflow.executeUpdate(updateNames.retarget, { args: [{ ...person, target: later }] });
    await one.seen.called('replayWal', 2);
    await one.seen.state('paused');
    await one.seen.workflow.executeUpdate(updateNames.promote, { args: [person] });
  });
  await recovery('continued', {}, { restoreFiles: fails('disk-full', 1) }, async (one) => {
    await one.seen.state('paused');
    await one.signal(signalNames.continue, person);
  });
  let asks = 0;
  await recovery(
    'waited-for-lock',
    {},
    {
      acquireLock: async () => (++asks === 1 ? { granted: false, holder } : { granted: true, token: 2 }),
    },
    async (one) => {
      await one.seen.called('acquireLock');
      await one.signal(signalNames.leaseGranted, undefined);
    },
  );
  await recovery('waited-for-host', {}, { hostAnswers: async () => false });
});

it('recoveries on sad paths', async () => {
  await recovery('waiting-open', {}, {}, (one) => one.plan(), false);
  await recovery('paused-open', { pause: true }, {}, (one) => one.seen.state('paused'));
  await recovery('rejected', {}, {}, (one) => one.plan().then(() => one.signal(signalNames.reject, person)), false);
  await recovery(
    'planned-again',
    {},
    otherPlans(),
    async (one) => {
      await one.plan();
      await one.signal(signalNames.continue, person);
      await secondPlan(one);
    },
    false,
  );
  let rechecks = 0;
  await recovery(
    'stale',
    {},
    {
      ...otherPlans(),
      recheckPlan: async ({ plan }) => ({ digest: ++rechecks === 1 ? 'f'.repeat(64) : plan, changed: ['backups'] }),
    },
    secondPlan,
  );
  await recovery('expired', {}, { ...otherPlans(), putAside: fails('plan-expired', 1) }, secondPlan);
  const databases = { method: 'databases', hooks, undoHooks } as const;
  let restores = 0;
  await recovery(
    'damaged',
    {},
    {
      ...otherPlans(databases),
      restoreDatabases: async () => {
        if (++restores === 1) throw failure('backup-corrupt', 'damaged');
        return { reached: 'the dump', lastLsn: null, lastCommitAt: null, complete: false };
      },
    },
    secondPlan,
  );
  const givenUp = async (one: Recovery): Promise<void> => {
    await one.seen.state('paused');
    await one.signal(signalNames.reject, person);
  };
  await recovery('given-up', { hooks, undoHooks }, { restoreFiles: fails('disk-full') }, givenUp);
  await recovery('given-up-untouched', databases, { runChecks: async () => [wrong] }, givenUp);
  await recovery('plan-failed', {}, { planRecovery: fails('tool-rejected') }, undefined, false);
  await recovery('cancelled', databases, { restoreDatabases: untilCancelled }, (one) =>
    cancelledIn('restoreDatabases')(one.seen),
  );
  await recovery('cancelled-waiting', {}, {}, (one) => one.plan().then(() => one.seen.workflow.cancel()), false);
  const thaw = { tier: 'Bulk', days: 7 } as const;
  await recovery('thaw-rejected', { thaw }, { lookAtThaw: async () => ({ objects: 3, bytes: 9 }) }, async (one) => {
    await one.seen.state('waiting-thaw');
    await one.signal(signalNames.reject, person);
  });
});

it('recoveries that lose their lock, or are sent what cannot be read', async () => {
  await recovery('lock-lost', {}, { putAside: fails('lock-lost', 1) });
  await recovery(
    'unreadable',
    {},
    {},
    async (one) => {
      await one.plan();
      await lab.client.workflowService.signalWorkflowExecution({
        namespace: 'default',
        workflowExecution: { workflowId: one.seen.workflow.workflowId },
        signalName: signalNames.confirmRestore,
        input: {
          payloads: [{ metadata: { encoding: Buffer.from('binary/encrypted') }, data: Buffer.from('secret') }],
        },
      });
      await one.seen.called('journal');
      await one.approved();
    },
    false,
  );
});

it('media', async () => {
  const recover = { kind: 'recover', to: '2026-11-21T02:15:00.000Z', later: 'keep' };
  const of = (path: string, activities: Partial<Activities>, happens: (one: Case) => Promise<unknown>) =>
    record(
      `media.${path}`,
      'media/CLUSTER/op',
      { ...asked, order: { media: 'photos', task: recover } },
      activities,
      happens,
    );
  const approve = async (one: Case): Promise<void> => {
    const { plan } = await one.state('waiting-approval');
    await one.workflow.executeUpdate(updateNames.approve, { args: [{ ...person, plan }] });
  };
  await of('completed', {}, approve);
  await of('rejected', {}, async (one) => {
    await one.state('waiting-approval');
    await one.workflow.signal(signalNames.reject, person);
  });
  await of('continued', { applyMedia: fails('tool-rejected', 1) }, async (one) => {
    await approve(one);
    await one.state('paused');
    await one.workflow.signal(signalNames.continue, person);
  });
  await of('cancelled', { applyMedia: untilCancelled }, async (one) => {
    await approve(one);
    await cancelledIn('applyMedia')(one);
  });
  let rechecks = 0;
  await of(
    'stale',
    { recheckMedia: async ({ plan }) => ({ digest: ++rechecks === 1 ? 'other' : plan }) },
    async (one) => {
      await approve(one);
      await one.called('planMedia', 2);
      await approve(one);
    },
  );
  await record('verifyMedia.completed', 'verify-media/CLUSTER/photos', {
    ...asked,
    order: { media: 'photos', sample: 5 },
  });
});

it('comparisons of tables', async () => {
  const table = { schema: 'public', table: 'orders' };
  const order = { database: 'mairie', table, good: { kind: 'before-xid', xid: '1234' }, samples: 20 };
  const compare = (path: string, activities: Partial<Activities> = {}, happens?: (one: Case) => Promise<unknown>) =>
    record(`compareTable.${path}`, `table-compare/CLUSTER/${path}`, { ...asked, order }, activities, happens);
  await compare('completed');
  const gone = async (): Promise<never> => {
    throw failure('not-found', 'there is no table public.orders in production');
  };
  await compare('failed', { compareTable: gone });
  await compare('cancelled', { compareTable: untilCancelled }, cancelledIn('compareTable'));
});

it('repairs of tables', async () => {
  const table = { schema: 'public', table: 'orders' };
  const source = { kind: 'transaction', xid: '1234' };
  const order = { database: 'mairie', table, source, strategy: 'undo' };
  const of = (path: string, activities: Partial<Activities> = {}, happens?: (one: Case) => Promise<unknown>) =>
    record(`repairTable.${path}`, `table-repair/CLUSTER/${path}`, { ...asked, order }, activities, happens);
  const approve = async (one: Case): Promise<void> => {
    const { plan } = await one.state('waiting-approval');
    await one.workflow.executeUpdate(updateNames.approve, { args: [{ ...person, plan }] });
  };
  await of('completed', {}, approve);
  await of('rejected', {}, async (one) => {
    await one.state('waiting-approval');
    await one.workflow.signal(signalNames.reject, person);
  });
  await of(
    'by-comparison',
    { findTransaction: async () => ({ committedAt: '2026-11-21T02:00:00.000Z', rows: 3, exact: false }) },
    approve,
  );
  let rechecks = 0;
  const recheckRepair: Activities['recheckRepair'] = async ({ plan }) =>
    ++rechecks === 1
      ? { digest: '', changed: ['1 row changed since the plan was made'] }
      : { digest: plan, changed: [] };
  await of('stale', { recheckRepair }, async (one) => {
    await approve(one);
    await one.called('planRepair', 2);
    await approve(one);
  });
  await of('continued', { applyRepair: fails('tool-rejected', 1) }, async (one) => {
    await approve(one);
    await one.state('paused');
    await one.workflow.signal(signalNames.continue, person);
  });
  await of('overtaken', { applyRepair: fails('conflict', 1) }, async (one) => {
    await approve(one);
    await one.called('planRepair', 2);
    await approve(one);
  });
  await of('cancelled', { applyRepair: untilCancelled }, async (one) => {
    await approve(one);
    await cancelledIn('applyRepair')(one);
  });
  const planRepair: Activities['planRepair'] = async (request) =>
    repairPlanOf(request, undefined, {
      ...{ freeze: { by: 'trigger' }, hooks: ['stop-batches'], undoHooks: { 'stop-batches': 'start-batches' } },
      ...{ signOff: { by: ['qa'], withinSeconds: 3600 }, watchSeconds: 1 },
    });
  const signsOff = async (one: Case, verdict: 'pass' | 'fail'): Promise<void> => {
    await approve(one);
    await one.state('waiting-sign-off');
    await one.workflow.executeUpdate(updateNames.signOffRepair, { args: [{ verdict, by: 'qa', remarks: 'seen' }] });
  };
  await of('signed-off', { planRepair }, (one) => signsOff(one, 'pass'));
  await of('signed-off-failed', { planRepair }, async (one) => {
    await signsOff(one, 'fail');
    await one.state('paused');
    await one.workflow.signal(signalNames.continue, person);
  });
  await of('cancelled-waiting', { planRepair }, async (one) => {
    await approve(one);
    await one.state('waiting-sign-off');
    await one.workflow.cancel();
  });
});

it('tables that are kept frozen', async () => {
  const order = { database: 'mairie', table: { schema: 'public', table: 'orders' } };
  const of = (path: string, activities: Partial<Activities>, happens: (one: Case) => Promise<unknown>, more = {}) =>
    record(`holdTable.${path}`, `table-freeze/CLUSTER/${path}`, { ...asked, order, ...more }, activities, happens);
  const approve = async (one: Case): Promise<void> => {
    const { plan } = await one.state('waiting-approval');
    await one.workflow.executeUpdate(updateNames.approve, { args: [{ ...person, plan }] });
  };
  const frozen = async (one: Case): Promise<void> => {
    await approve(one);
    await one.until(
      async () => ((await one.status()).phase === 'keep the table frozen' ? true : null),
      () => Promise.resolve(one.names.join(' ')),
    );
  };
  await of('released', {}, async (one) => {
    await frozen(one);
    await one.workflow.executeUpdate(updateNames.releaseTable, { args: [person] });
  });
  await of('signalled', {}, async (one) => {
    await frozen(one);
    await one.workflow.signal(signalNames.release, person);
  });
  await of('timed', {}, approve, { order: { ...order, forSeconds: 1 } });
  await of('early', {}, async (one) => {
    await one.state('waiting-approval');
    await one.workflow.signal(signalNames.release, person);
  });
  await of('continued', { freezeTable: fails('tool-rejected', 1) }, async (one) => {
    await approve(one);
    await one.state('paused');
    await one.workflow.signal(signalNames.continue, person);
    await one.called('freezeTable', 2);
    await one.workflow.signal(signalNames.release, person);
  });
  await of('cancelled', {}, async (one) => {
    await frozen(one);
    await one.workflow.cancel();
  });
});

it('temporary instances that people look at', async () => {
  const order = { target: { kind: 'time', time: '2026-11-21T02:15:00Z' } };
  const openInstance: Activities['openInstance'] = async (step) =>
    openedInstanceOf(step, { kind: 'latest' }, '2126-11-21T02:15:00.000Z');
  const explore = (path: string, activities: Partial<Activities> = {}, happens?: (one: Case) => Promise<unknown>) =>
    record(`explore.${path}`, `explore/CLUSTER/${path}`, { ...asked, order }, activities, happens);
  await explore('dropped', { openInstance }, async (one) => {
    await one.called('openInstance');
    await one.workflow.executeUpdate(updateNames.dropInstance, { args: [{ by: 'dba' }] });
  });
  // `explore.connected-before.json` is of a build whose connections did not look whether the server runs.
  await explore('connected', { openInstance }, async (one) => {
    await one.called('openInstance');
    await one.workflow.executeUpdate(updateNames.connectInstance, { args: [{ by: 'dba' }] });
    await one.workflow.executeUpdate(updateNames.dropInstance, { args: [{ by: 'dba' }] });
  });
  await explore('failed', {
    planInstance: async () => {
      throw failure('disk-full', 'there is no room');
    },
  });
  await explore('cancelled', { openInstance: untilCancelled }, cancelledIn('openInstance'));
});

it('looks at what a transaction did', async () => {
  const table = { schema: 'public', table: 'orders' };
  const order = { database: 'mairie', table, xid: '1234', samples: 20 };
  const look = (path: string, activities: Partial<Activities> = {}, happens?: (one: Case) => Promise<unknown>) =>
    record(`blastRadius.${path}`, `table-blast-radius/CLUSTER/${path}`, { ...asked, order }, activities, happens);
  await look('completed');
  await look('compared', { collectRows: async ({ from }) => ({ exact: from.length > 1 }) });
  await look('cancelled', { followRows: untilCancelled }, cancelledIn('followRows'));
});

it('searches for what broke a table', async () => {
  const table = { schema: 'public', table: 'orders' };
  const order = { database: 'mairie', table, condition: { kind: 'key', column: 'id', value: '4' } };
  const at = (day: number): string => `2026-11-0${day}T02:00:00.000Z`;
  const backups = [1, 2, 3].map((day) => ({
    ...{ id: `mairie:physical:${day}`, policy: 'physical', at: at(day), startedAt: at(day), recorded: null },
  }));
  const commit = { committedAt: at(2), inserted: 0, updated: 0, deleted: 1, actions: [] };
  const stops = [1, 2].map((place) => ({ ...commit, xid: String(100 + place), lsn: `0/${place}`, index: place - 1 }));
  let looks = 0;
  // Of the second backup, of the third, of the second again, and after two commits.
  const probeTable: Activities['probeTable'] = async () => ({
    ...{ holds: [true, false, true, true, false][looks++] ?? false, figure: 'the row' },
  });
  const locate = (path: string, activities: Partial<Activities> = {}, happens?: (one: Case) => Promise<unknown>) =>
    record(`locateTable.${path}`, `table-locate/CLUSTER/${path}`, { ...asked, order }, activities, happens);
  const planLocate: Activities['planLocate'] = async () => ({
    ...{ backups, walPolicy: 'physical', now: { holds: false, figure: 'the row is not there' } },
  });
  await locate('transaction', {
    ...{ planLocate, probeTable, findCommits: async () => ({ total: 2, stops, notes: [] }) },
  });
  const [first, second] = stops;
  const seen = [true, false, true, false];
  await locate('reckoned-anew', {
    planLocate,
    // Of the second backup, of the third, and after each of two commits.
    probeTable: async () => ({ holds: seen.shift() ?? false, figure: 'the row' }),
    findCommits: async ({ range }) => {
      const one = range.afterLsn === '0/2' ? second : first;
      return {
        total: 1,
        stops: one === undefined ? [] : [{ ...one, index: 0 }],
        reckoned: one?.xid ?? null,
        notes: [],
      };
    },
  });
  await locate('none-coherent');
  await locate('cancelled', { planLocate, probeTable: untilCancelled }, cancelledIn('probeTable'));
});

it('drills', async () => {
  const signOff = { by: ['qa'], withinSeconds: 86_400 };
  const describeCluster: Activities['describeCluster'] = async (input) => ({
    ...(await wellBehaved.describeCluster(input)),
    drill: { host: HOST, signOff },
    tells: ['drill-failed', 'drill-overdue', 'sign-off'],
  });
  const drill = (
    path: string,
    activities: Partial<Activities>,
    happens: (one: Case) => Promise<unknown> = () => Promise.resolve(),
    policies: readonly string[] = ['physical'],
  ): Promise<void> =>
    record(
      `drill.${path}`,
      'drill/CLUSTER/op',
      { ...asked, order: {} },
      { ...new StagingHost(policies).activities(), describeCluster, ...activities },
      happens,
    );
  const signs = async (one: Case): Promise<void> => {
    await one.state('waiting-sign-off');
    await one.workflow.executeUpdate(updateNames.signOff, { args: [{ verdict: 'pass', by: 'qa' }] });
  };
  await drill('signed-off', {}, signs, ['physical', 'nightly']);
  await drill('signed-off-early', {}, (one) =>
    one.workflow.signal(signalNames.signOff, JSON.stringify({ verdict: 'fail', by: 'qa', remarks: 'no photos' })),
  );
  await drill('check-failed', { checkStaging: async () => [failedCheck('physical')] });
  await drill('restore-failed', { restoreStaging: fails('backup-corrupt') });
  await drill('plan-refused', { planDrill: fails('conflict') });
  await drill('cancelled', { restoreStaging: untilCancelled }, cancelledIn('restoreStaging'));
  await drill('cancelled-waiting', {}, async (one) => {
    await one.state('waiting-sign-off');
    await one.workflow.cancel();
  });
  await drill('rejected-waiting', {}, async (one) => {
    await one.state('waiting-sign-off');
    await one.workflow.executeUpdate(updateNames.reject, { args: [person] });
  });
  await record('drillOverdue.none', 'drill-overdue/CLUSTER', {}, { describeCluster });
  const dueAt = '2026-10-04T02:00:00.000Z';
  await record(
    'drillOverdue.overdue',
    'drill-overdue/CLUSTER',
    {},
    {
      describeCluster,
      lastDrillDue: async () => dueAt,
      recordOverdueDrill: async ({ cluster }) => ({ entry: entryFor(cluster, dueAt), isNew: true }),
    },
  );
});

it('the daily check', async () => {
  const describeCluster: Activities['describeCluster'] = async (input) => ({
    ...(await wellBehaved.describeCluster(input)),
    tells: ['daily-check', 'failure', 'run'],
  });
  const matter = {
    ...{ check: 'backup/mairie/nightly', level: 'problem' as const, message: 'm', fix: 'f' },
    ...{ since: '2026-11-23T06:20:00Z', toldAt: '2026-11-23T06:20:00Z' },
  };
  const found = { open: [matter], told: [matter.check], over: [] };
  await record('dailyCheck.fine', 'daily-check/CLUSTER', {}, { describeCluster });
  await record('dailyCheck.found', 'daily-check/CLUSTER', {}, { describeCluster, recordDailyCheck: async () => found });
  await record(
    'dailyCheck.failed',
    'daily-check/CLUSTER',
    {},
    { describeCluster, recordDailyCheck: fails('repository-mismatch') },
  );
});

it('incidents of tables', async () => {
  const table = { schema: 'public', table: 'orders' };
  const order = { database: 'mairie', table, foundAt: '2026-11-21T08:00:00.000Z' };
  const repair = { database: 'mairie', table, source: { kind: 'transaction', xid: '1234' }, strategy: 'undo' };
  const blocked: Partial<Activities> = { surveyTable: async () => ({ ...tableSurvey, blocks: true }) };
  const of = (path: string, activities: Partial<Activities>, happens: (one: Case) => Promise<unknown>) =>
    record(
      `incident.table-${path}`,
      incidentWorkflowId('CLUSTER', 'table-corruption', path),
      { scenario: 'table-corruption', operationId: path, requester: 'ops', order },
      activities,
      happens,
    );
  const choose = (one: Case): Promise<ChosenRepair> =>
    one.workflow.executeUpdate(updateNames.chooseRepair, { args: [{ by: 'dba', order: repair }] });
  const decide = async (one: Case, workflowId: string, name: string): Promise<void> => {
    const handle = lab.client.workflow.getHandle(workflowId);
    const { plan } = await one.state('waiting-approval', handle);
    await handle.executeUpdate(name, { args: [{ ...person, plan }] });
  };
  await of('closed', blocked, async (one) => {
    await one.workflow.signal(signalNames.note, { by: 'dba', text: 'a wrong date', cause: true });
    await one.workflow.signal(signalNames.confirm, person);
    const { workflowId } = await choose(one);
    await decide(one, holdWorkflowId(one.cluster, 'closed-hold'), updateNames.approve);
    await one.called('freezeTable');
    await decide(one, workflowId, updateNames.approve);
  });
  await of('chosen-again', {}, async (one) => {
    await decide(one, (await choose(one)).workflowId, updateNames.reject);
    await one.state('paused');
    await decide(one, (await choose(one)).workflowId, updateNames.approve);
  });
  await of('dismissed', {}, async (one) => {
    await one.called('findSuspects');
    await one.workflow.signal(signalNames.dismiss, person);
  });
  await of('cancelled', blocked, async (one) => {
    await choose(one);
    await one.called('planHold');
    await one.workflow.cancel();
  });
});

it('incidents of migrations', async () => {
  const before = { kind: 'time', time: '2026-11-21T07:50:00.000Z' };
  const table = { schema: 'public', table: 'orders' };
  const repair = { database: 'mairie', table, source: { kind: 'state', at: before }, strategy: 'insert-missing' };
  const recovery = { database: 'mairie', target: before, into: 'in-place', pause: false };
  const of = (path: string, activities: Partial<Activities>, happens: (one: Case) => Promise<unknown>) =>
    record(
      `incident.migration-${path}`,
      incidentWorkflowId('CLUSTER', 'bad-migration', path),
      { scenario: 'bad-migration', operationId: path, requester: 'ops', order: { database: 'mairie' } },
      activities,
      happens,
    );
  const chosen = async (one: Case, name: string, order: object, decision: string): Promise<void> => {
    const { workflowId } = await one.workflow.executeUpdate<ChosenRepair, [object]>(name, {
      args: [{ by: 'dba', order }],
    });
    const handle = lab.client.workflow.getHandle(workflowId);
    const { plan } = await one.state('waiting-approval', handle);
    await handle.executeUpdate(decision, { args: [{ ...person, plan }] });
    await handle.result();
  };
  await of('recovered', {}, async (one) => {
    await one.workflow.signal(signalNames.confirm, person);
    await chosen(one, updateNames.chooseRepair, repair, updateNames.approve);
    await one.state('paused');
    await chosen(one, updateNames.chooseRecovery, recovery, updateNames.approve);
  });
  await of('closed', { compareMigration: fails('database-unreachable') }, async (one) => {
    await chosen(one, updateNames.chooseRecovery, recovery, updateNames.reject);
    await one.state('paused');
    await one.workflow.signal(signalNames.close, person);
  });
  await of('dismissed', {}, async (one) => {
    await one.called('compareMigration');
    await one.workflow.signal(signalNames.dismiss, person);
  });
});

it('incidents, the watch, received WAL', async () => {
  const input = { ...asked, scenario: 'instance-loss', finding: { layer: 'port', reason: 'refused' } };
  const recoveryOf = (one: Case, operation = 'op'): WorkflowHandle =>
    lab.client.workflow.getHandle(recoverWorkflowId(one.cluster, operation));
  const planned = (one: Case, operation?: string) =>
    one.until(
      () =>
        one.status(recoveryOf(one, operation)).then(
          ({ plan, state }) => (state === 'waiting-approval' ? plan : null),
          () => null,
        ),
      async () => one.names.join(' '),
    );
  const decide = async (one: Case, name: string, operation?: string): Promise<void> => {
    const plan = await planned(one, operation);
    await recoveryOf(one, operation).executeUpdate(name, { args: [{ plan, ...person }] });
  };
  const incident = (path: string, happens: (one: Case) => Promise<unknown>) =>
    record(`incident.${path}`, incidentWorkflowId('CLUSTER', 'instance-loss', 'op'), input, {}, happens);
  await incident('closed', (one) => decide(one, updateNames.approve));
  await incident('dismissed', async (one) => {
    await planned(one);
    await one.workflow.signal(signalNames.note, { by: 'dba', text: 'a cable' });
    await one.workflow.signal(signalNames.confirm, person);
    await one.workflow.signal(signalNames.dismiss, person);
  });
  await incident('rejected-then-recovered', async (one) => {
    await decide(one, updateNames.reject);
    await one.state('paused');
    await one.workflow.signal(signalNames.continue, person);
    await decide(one, updateNames.approve, 'op-2');
  });
  const down: WatchFinding = { state: 'down', layer: 'port', reason: 'refused', since: '2026-11-21T02:15:00.000Z' };
  const up: WatchFinding = { ...down, state: 'up', layer: null };
  const findings = [null, down, up];
  await record(
    'watch.cancelled',
    watchWorkflowId('CLUSTER'),
    {},
    { watchCluster: async () => (findings.length > 0 ? (findings.shift() ?? null) : untilCancelled()) },
    async (one) => {
      await one.called('watchCluster', 4);
      await one.workflow.cancel();
    },
  );
  let receives = 0;
  await record(
    'archive.cancelled',
    archiveWorkflowId('CLUSTER', 'base'),
    { policy: 'base' },
    {
      receiveWal: async () => {
        if (++receives === 1) return undefined;
        if (receives === 2) throw failure('wal-not-archived', 'it waits');
        return untilCancelled();
      },
    },
    async (one) => {
      await one.called('receiveWal', 3);
      await one.workflow.cancel();
    },
  );
});

it('locks, inspections, notifications', async () => {
  const locks = new Locks(lab, 'locks');
  await locks.acquire({ operationId: 'r', kind: 'recovery' });
  await locks.acquire({ operationId: 'b', kind: 'backup' });
  await locks.release('r');
  await locks.acquire({ operationId: 'b', kind: 'backup' });
  await save('clusterLock.held', locks.handle);
  await slotsGivenOut();
  await record('inspect.completed', 'inspect/CLUSTER', { question: { kind: 'backups' } });
  await record(
    'inspect.refused',
    'inspect/CLUSTER',
    { question: { kind: 'backups' } },
    { answer: fails('tool-rejected') },
  );
  const notified = async (path: string, activities: Partial<Activities>): Promise<void> => {
    const one = lab.case({ ...tells, runBackup: fails('disk-full'), ...activities });
    await ended(
      await one.start(workflowTypes.backup, 'backup/CLUSTER/nightly', {
        ...asked,
        order: { policy: 'nightly', type: 'auto' },
      }),
    );
    const handle = lab.client.workflow.getHandle(notifyWorkflowId(one.cluster, 'op', '1-failed'));
    await ended(handle);
    await save(`notify.${path}`, handle);
  };
  await notified('completed', {});
  await notified('failed', {
    sendNotice: async () => {
      throw failure('notifier-rejected', 'no such address');
    },
  });
});

/** The first run of a workflow on a server that asks for a new one after few events. */
it('runs that continue as new', async () => {
  const server = await startTemporalServer({ dynamicConfig: { 'limit.historyCount.suggestContinueAsNew': 60 } });
  onCleanup(() => server.stop());
  const few = await Lab.on(server.address);
  const continued = async (name: string, id: string, input: object, activities: Partial<Activities>): Promise<void> => {
    const [type = ''] = name.split('.');
    const one = few.case({ ...tells, ...activities });
    const { workflowId, firstExecutionRunId } = (await one.start(type, id, input)) as WorkflowHandle & {
      firstExecutionRunId: string;
    };
    const first = few.client.workflow.getHandle(workflowId, firstExecutionRunId);
    await one.until(
      async () => ((await first.describe()).status.name === 'CONTINUED_AS_NEW' ? true : null),
      async () => one.names.join(' '),
    );
    await save(name, first);
  };
  const soon = (): Promise<null> => new Promise((done) => setTimeout(done, 20, null));
  await continued('watch.continued', watchWorkflowId('CLUSTER'), {}, { watchCluster: soon });
  await continued(
    'archive.continued',
    archiveWorkflowId('CLUSTER', 'base'),
    { policy: 'base' },
    { receiveWal: async () => soon().then(() => undefined) },
  );
});
