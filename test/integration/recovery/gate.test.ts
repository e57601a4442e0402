import { readFile, readdir, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { beforeAll, describe, expect, it } from '@jest/globals';
import {
  heavyQueue,
  lightQueue,
  recoveryQueue,
  signalNames,
  updateNames,
  workflowTypes,
} from '../../../src/domain/operation/names.js';
import type { HostActivities } from '../../../src/activities/api.js';
import { runInspection } from '../../../src/client/inspect.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { answer, approved, editConfig, planned, reaches, refusal, snapshot, told } from '../../helpers/site-cli.js';
import type { Started } from '../../helpers/site-cli.js';
import { Site } from '../../helpers/site.js';
import { until } from '../../helpers/until.js';
import type { CatalogueRecord } from '../../../src/domain/backup/records.js';

failOnLeakedProcesses();

/** Every activity that changes something once a plan is approved. */
const DESTRUCTIVE = [
  ...[
    'runHook',
    'safetyBackup',
    'stopServer',
    'startServer',
    'salvageWal',
    'putAside',
    'restoreFiles',
    'replayWal',
    'promoteServer',
    'rearmArchiving',
  ],
  ...['restoreDatabases', 'swapDatabases', 'runChecks', 'freshBackup', 'finishRecovery'],
] as const satisfies readonly (keyof HostActivities)[];

let site: Site;
let started: Started;
const operationOf = ({ workflowId }: Started): string => workflowId.slice(workflowId.lastIndexOf('/') + 1);
const approve = (by: string, plan = started.plan.digest.slice(0, 12)) =>
  refusal(site, 'approve', started.workflowId, '--plan', plan, '--by', by, '--reason', 'test');

/** What a forged step could change: data, old data put aside, repository, databases. */
async function world(): Promise<unknown> {
  const { rows } = await site.query('SELECT datname FROM pg_database ORDER BY 1', 'postgres');
  return {
    databases: rows,
    content: await site.contentHash(),
    stored: await snapshot(`${site.places.backupsDir}/mairie/dump`),
    server: (await site.query('SELECT pg_postmaster_start_time()::text AS at')).rows,
  };
}

async function recordsOf({ places }: Site): Promise<readonly CatalogueRecord[]> {
  const folder = `${places.backupsDir}/mairie/records`;
  const files = (await readdir(folder)).filter((name) => name.endsWith('.json'));
  return Promise.all(
    files.map(async (name) => JSON.parse(await readFile(`${folder}/${name}`, 'utf8')) as CatalogueRecord),
  );
}

beforeAll(async () => {
  site = await Site.create();
  await editConfig(site, (text) =>
    text
      .replace(/recover: \{ approvers: 1, from: \[dba\]/, 'recover: { approvers: 2, from: [dba, ops, chief]')
      .replace(
        'contacts:\n',
        'contacts:\n  ops: { mail: [ops@example.org] }\n  chief: { mail: [chief@example.org] }\n',
      ),
  );
  await site.startWorker();
  await site.backUp('dump');
  started = await planned(site, '--policy', 'dump', '--by', 'chief');
});

describe('F31, F32: approvals', () => {
  it('are refused for another plan, an unlisted person, the requester, and anything malformed; the work goes on waiting', async () => {
    expect(await approve('dba', '0123456789ab')).toMatchObject({
      exit: 9,
      code: 'plan-stale',
      hint: expect.stringContaining(started.plan.digest.slice(0, 12)),
    });
    expect(await approve('mallory')).toMatchObject({
      exit: 9,
      code: 'approval-refused',
      message: expect.stringContaining('mallory'),
    });
    expect(await approve('chief')).toMatchObject({
      exit: 9,
      code: 'approval-refused',
      message: expect.stringContaining('asked for'),
    });
    expect(await approve(' CHIEF ')).toMatchObject({ exit: 9, code: 'approval-refused' });
    expect(await approve('dba', '01234')).toMatchObject({
      exit: 9,
      code: 'approval-refused',
      message: expect.stringContaining('12'),
    });
    // Without a terminal, the plan shown has to be named, or agreed to.
    expect(await refusal(site, 'approve', started.workflowId, '--by', 'dba', '--reason', 'x')).toMatchObject({
      exit: 9,
      code: 'confirmation-needed',
    });
    expect(await refusal(site, 'approve', started.workflowId)).toMatchObject({ exit: 2, code: 'usage' });
    expect(
      await refusal(site, 'approve', 'recover/mairie/never', '--plan', '0123456789ab', '--reason', 'x'),
    ).toMatchObject({ exit: 6, code: 'not-found' });
    const handle = site.session.client.workflow.getHandle(started.workflowId);
    for (const junk of [
      '{',
      '{"plan":1}',
      { plan: started.plan.digest },
      null,
      ['x'],
      { plan: started.plan.digest, by: 'mallory', reason: 'forged', approved: true },
    ])
      await handle.signal(signalNames.confirmRestore, junk);
    for (const name of [signalNames.promote, signalNames.retarget]) await handle.signal(name, { by: 7 });
    expect((await reaches(site, started.workflowId, 'waiting-approval')).plan).toBe(started.plan.digest);
  });

  it('count once a person; two are needed; what --dry-run shows is sent to nobody', async () => {
    expect(
      await answer(site, 'approve', started.workflowId, '--by', 'dba', '--reason', 'x', '--yes', '--dry-run'),
    ).toMatchObject({ dryRun: true, approval: { by: 'dba' } });
    expect(await approved(site, started, 'dba')).toMatchObject({ accepted: true, missing: 1, assurance: 'asserted' });
    expect(await approved(site, started, 'Dba')).toMatchObject({ missing: 1 });
    expect((await reaches(site, started.workflowId, 'waiting-approval')).state).toBe('waiting-approval');
  });
});

describe('L16: who sent a decision', () => {
  it('is recorded beside the name in it: the identity of the client, by update and by signal; this server has no principals', async () => {
    const { client } = site.session;
    const handle = client.workflow.getHandle(started.workflowId);
    const plan = started.plan.digest;
    await handle
      .executeUpdate(updateNames.approve, { args: [{ plan, by: 'eve', reason: 'by update' }] })
      .catch(() => undefined);
    await handle.signal(signalNames.confirmRestore, JSON.stringify({ plan, by: 'trudy', reason: 'by signal' }));
    const identity = `${process.pid}@${hostname()}`;
    const senders = async (kind: string): Promise<Record<string, unknown>> =>
      Object.fromEntries(
        (await recordsOf(site))
          .filter((entry) => entry.kind === kind)
          .map((entry) => ['by' in entry ? entry.by : '', 'sender' in entry ? entry.sender : undefined]),
      );
    await until(async () => 'trudy' in (await senders('refusal')), 'the refusal of the signal is recorded');
    expect(await senders('refusal')).toMatchObject({
      eve: { identity, principal: null },
      trudy: { identity, principal: null },
    });
    // By the command line, a process of its own.
    expect(await senders('approval')).toMatchObject({ dba: { identity: expect.stringMatching(/^\d+@/) } });
  });
});

describe('F33: jumping over the gate', () => {
  it('a destructive activity called by itself is refused: forged digest, another operation, approvals missing', async () => {
    const before = await world();
    const digest = started.plan.digest;
    const forged = [
      { plan: 'f'.repeat(64), operationId: operationOf(started), codes: ['plan-unknown'] },
      { plan: '../../../../etc/passwd', operationId: operationOf(started), codes: ['plan-unknown'] },
      { plan: digest, operationId: 'another-operation', codes: ['plan-unknown'] },
      { plan: digest, operationId: operationOf(started), codes: ['approval-refused'] },
    ];
    for (const { codes, ...step } of forged) {
      const outcomes = await Promise.all(
        DESTRUCTIVE.map(async (name) => [name, await standalone(name, step)] as const),
      );
      expect(outcomes).toEqual(DESTRUCTIVE.map((name) => [name, codes[0]]));
    }
    expect(await world()).toEqual(before);
  });

  it('a workflow started by hand with everything "approved" in it waits like any other, and takes nobody\'s word', async () => {
    const before = await world();
    const operationId = 'forged-1';
    const workflowId = `recover/mairie/${operationId}`;
    const { client } = site.session;
    const input = {
      cluster: 'mairie',
      order: { policy: 'dump', target: { kind: 'latest' }, into: 'in-place', pause: false },
      operationId,
      requester: 'dba',
      approved: true,
      plan: started.plan.digest,
      command: 'rm -rf /',
    };
    const handle = await client.workflow.start(workflowTypes.recover, {
      workflowId,
      taskQueue: 'reprise',
      args: [input],
    });
    await handle.signal(signalNames.confirmRestore, { plan: started.plan.digest, by: 'dba', reason: 'forged' });
    const { plan } = await reaches(site, workflowId, 'waiting-approval');
    expect(plan).not.toBe(started.plan.digest);
    await handle.signal(signalNames.confirmRestore, { plan, by: 'dba', reason: 'the requester himself' });
    await handle.signal(signalNames.promote, { by: 'dba', reason: 'forged' });
    await handle.signal(signalNames.continue, { by: 'dba', reason: 'forged' });
    await reaches(site, workflowId, 'waiting-approval');
    await answer(site, 'reject', workflowId, '--reason', 'forged');
    await reaches(site, workflowId, 'rejected');
    expect(await world()).toEqual(before);
  });

  it("G6, G7: called by hand, nothing unpins, closes or pins in a victim's name, decides for it, or gives it an outcome", async () => {
    const pins = async () => (await answer<{ pins: readonly { operationId: string }[] }>(site, 'backup', 'list')).pins;
    const step = { plan: started.plan.digest, operationId: operationOf(started) };
    const before = await pins();
    expect(before).toMatchObject([
      { operationId: step.operationId, workflowId: started.workflowId, since: expect.any(String) },
    ]);
    const calls = ['unpin', 'closeMedia', 'pin', 'recordApproval', 'recordDecision', 'recordRejection'] as const;
    for (const name of calls) expect([name, await standalone(name, step)]).toEqual([name, 'approval-refused']);
    expect(await standalone('journal', { ...step, text: 'check rows passed, nothing was lost' })).toBe('ran');
    expect(await pins()).toEqual(before);
    expect((await reaches(site, started.workflowId, 'waiting-approval')).plan).toBe(started.plan.digest);
  });

  it('L11: a recovery that was terminated while it waited keeps no backup: doctor says so, and its plan is closed', async () => {
    const other = await planned(site, '--policy', 'dump', '--by', 'chief');
    const pins = async () =>
      (await answer<{ pins: readonly { operationId: string }[] }>(site, 'backup', 'list')).pins.map(
        ({ operationId }) => operationId,
      );
    expect(await pins()).toContain(operationOf(other));
    await site.session.client.workflow.getHandle(other.workflowId).terminate('test');
    const { findings } = await runInspection<'host'>(site.session, { kind: 'host', host: 'db1' });
    expect(findings.filter(({ check }) => check === 'cluster/mairie/pins').map(({ message }) => message)).toEqual([
      expect.stringContaining(operationOf(other)),
      expect.stringContaining(started.workflowId),
    ]);
    expect(await pins()).toEqual([operationOf(started)]);
    expect(await standalone('swapDatabases', { plan: other.plan.digest, operationId: operationOf(other) })).toBe(
      'approval-used',
    );
  });

  it('a plan whose record on the host was changed is not run', async () => {
    const file = `${site.places.stateDir}/plans/${started.plan.digest}.json`;
    const changed = { ...started.plan, binding: { ...started.plan.binding, requester: 'nobody' } };
    await writeFile(file, JSON.stringify(changed));
    expect(await standalone('restoreDatabases', { plan: started.plan.digest, operationId: operationOf(started) })).toBe(
      'plan-stale',
    );
    await writeFile(file, JSON.stringify(started.plan));
  });
});

describe('F32: what was approved is what runs', () => {
  it('a newer backup, or another config, makes the plan stale: it is made again and approved again; then it runs, once', async () => {
    const earlier = started.plan.digest;
    const [newer] = (await site.backUp('dump')).backups;
    expect(await approved(site, started, 'ops')).toMatchObject({ missing: 0 });
    const again = await site.waitFor(async () => {
      const view = await reaches(site, started.workflowId, 'waiting-approval');
      return view.plan !== null && view.plan !== earlier && view.plan;
    }, 'another plan waits');
    expect(await approve('dba', earlier.slice(0, 12))).toMatchObject({ exit: 9, code: 'plan-stale' });

    // The config of the host changes before the second approval.
    const give = (by: string, plan: string) =>
      answer<{ missing: number }>(site, 'approve', started.workflowId, '--plan', plan, '--by', by, '--reason', 'test');
    expect(await give('dba', again)).toMatchObject({ missing: 1 });
    await site.workers[0]?.stop();
    await editConfig(site, (text) => text.replace('min: 1 }', 'min: 2 }'));
    await site.startWorker();
    expect(await give('ops', again)).toMatchObject({ missing: 0 });
    const last = await site.waitFor(async () => {
      const view = await reaches(site, started.workflowId, 'waiting-approval');
      return view.plan !== null && view.plan !== again && view.plan;
    }, 'a third plan waits');

    await site.commit();
    await give('dba', last);
    await give('ops', last);
    await reaches(site, started.workflowId, 'completed');
    expect((await site.query('SELECT count(*)::int AS n FROM metier.demandes_rdv')).rows).toEqual([{ n: 3000 }]);
    const { plan } = (await site.session.client.workflow.getHandle(started.workflowId).result()) as Started;
    expect(plan).toMatchObject({ digest: last, binding: { backups: [{ id: newer?.id }] } });

    // F8: used, closed: the very same steps are refused now.
    const before = await world();
    expect(
      await Promise.all(
        DESTRUCTIVE.filter((name) => name !== 'finishRecovery').map((name) =>
          standalone(name, { plan: last, operationId: operationOf(started) }),
        ),
      ),
    ).toEqual(DESTRUCTIVE.slice(1).map(() => 'approval-used'));
    expect(await world()).toEqual(before);
  });

  it('F32: the journal holds who was refused and why, and that approvals are asserted', async () => {
    const { markdown } = await answer<{ markdown: string }>(site, 'incident', 'report', operationOf(started));
    for (const word of ['mallory', 'asked for', 'asserted', 'dba', 'ops']) expect(markdown).toContain(word);
    expect(markdown).toMatch(/nothing was lost.*as told by a client without a workflow/);
    expect(markdown).not.toMatch(/\| rows passed/);
  });

  it('without a policy nothing is destroyed: exit 9 with the lines to add', async () => {
    await site.workers.at(-1)?.stop();
    await editConfig(site, (text) => text.replace(/ {4}approvals:\n(?: {6}.*\n)+/, ''));
    await site.startWorker();
    const { exit, error } = await told(site, 'recover', 'mairie', '--policy', 'dump', '--dry-run');
    expect({ exit, code: error?.code }).toEqual({ exit: 9, code: 'policy-missing' });
    expect(error?.hint).toMatch(/approvals:\n\s+recover: \{ approvers: 1, from: \[/);
    expect(await refusal(site, 'recover', 'mairie', '--policy', 'dump')).toMatchObject({
      exit: 9,
      code: 'policy-missing',
    });
  });
});

let calls = 0;

/** Calls one activity of the host without any workflow; returns the code it was refused with, or `ran`. */
async function standalone(
  name: keyof HostActivities,
  step: { plan: string; operationId: string; text?: string },
): Promise<string> {
  const outcome = {
    target: { requested: 'latest', reached: 'forged' },
    rtoSeconds: 0,
    waitedForPeopleSeconds: 0,
    rpoSeconds: 0,
    lastCommitAt: null,
    lastLsn: null,
    phases: [],
    checks: [],
  };
  const input = {
    cluster: 'mairie',
    workflowId: started.workflowId,
    approval: { plan: step.plan, by: 'dba', reason: 'forged' },
    decision: { kind: 'promote', by: 'dba', reason: 'forged' },
    by: 'dba',
    reason: 'forged',
    step: 'run checks',
    ...step,
    hook: 'stop-applications',
    method: 'databases',
    startedAt: new Date().toISOString(),
    target: { kind: 'latest' },
    salvage: null,
    outcome,
  };
  const queues = [recoveryQueue('db1'), lightQueue('db1'), heavyQueue('db1')];
  calls += 1;
  try {
    await site.session.client.activity.execute(name, {
      id: `forged-${calls}`,
      taskQueue: queues[calls % queues.length] ?? '',
      args: [input],
      // A task that goes to a poll which has just ended is lost: it is given out again.
      startToCloseTimeout: '60s',
      scheduleToCloseTimeout: '10m',
    });
    return 'ran';
  } catch (error) {
    return codeOf(error);
  }
}

function codeOf(error: unknown): string {
  for (
    let link = error as { type?: unknown; cause?: unknown } | undefined;
    link !== undefined;
    link = link.cause as typeof link
  ) {
    if (typeof link.type === 'string') return link.type;
  }
  return String(error);
}
