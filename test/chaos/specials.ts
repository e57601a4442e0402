/** What else may be killed, lost or reset than a worker: each a journey of its own. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from '@jest/globals';
import { WorkflowFailedError } from '@temporalio/client';
import type { StartedOperation } from '../../src/client/start.js';
import { startIncident } from '../../src/client/start.js';
import type { BackupOutput } from '../../src/workflows/api.js';
import { withKilledTemporal } from '../helpers/killed-temporal.js';
import { startTemporalServer } from '../helpers/temporal-server.js';
import { killAll, processesOf } from '../helpers/site-processes.js';
import type { Policy, Site } from '../helpers/site.js';
import { Act, labelOf, labels, onSite } from './journey.js';
import type { Measured, Meanwhile } from './journey.js';
import { Keeper } from './keeper.js';
import { resetBefore } from './reset.js';
import { minus, startsOf } from './tools.js';
import { atWork, caught, holdArchive, inTheMiddle, lockTable, ofAnotherBoot } from './tools-at-work.js';
import type { ToolAtWork } from './tools-at-work.js';

const measured = (act: Act, kills: number): Measured => ({ kills, attachSeconds: act.attachSeconds });
const STEPS = {
  pg_dump: /\/dump:/,
  'pgbackrest backup': /\/backup$/,
  pg_restore: /\/restore:/,
  'pgbackrest restore': /\/restore-/,
} as const;
const COUNTED = {
  pg_dump: 'dump',
  'pgbackrest backup': 'pgbackrestBackup',
  pg_restore: 'restore',
  'pgbackrest restore': 'pgbackrestRestore',
} as const;
export type HeldTool = keyof typeof STEPS;

/** Rows enough that pg_restore and pgBackRest's restore can be caught in the middle. */
const grow = (site: Site): Promise<unknown> => site.commit(150_000);

/** Runs what `tool` belongs to; `harm` meets the tool in its middle. */
async function withTool(
  tool: HeldTool,
  harm: (found: ToolAtWork, keeper: Keeper, site: Site) => Promise<void>,
  again: number,
): Promise<Measured> {
  const policy: Policy = tool.startsWith('pgbackrest') ? 'physical' : 'dump';
  return onSite({}, async (site) => {
    const act = new Act(site, policy);
    const began = await startsOf(site);
    const seen = async (): Promise<boolean> => (await startsOf(site))[COUNTED[tool]] > began[COUNTED[tool]];
    if (tool === 'pg_dump' || tool === 'pgbackrest backup') {
      const expected = await site.contentHash();
      const release = tool === 'pg_dump' ? await lockTable(site, 'metier.communes') : await holdArchive(site);
      const meet: Meanwhile = async (work, keeper) => {
        await harm(await inTheMiddle(site, work.operationId, STEPS[tool], seen), keeper, site);
        await release();
      };
      const label = labelOf(await act.backup([], meet, again));
      expect(await labels(site, policy)).toEqual([label]);
      await act.recover(expected);
    } else {
      await grow(site);
      labelOf(await act.backup());
      const meet: Meanwhile = async (work, keeper) =>
        harm(await caught(site, work.operationId, STEPS[tool], seen), keeper, site);
      await act.recover(await site.contentHash(), [], meet, again);
    }
    return measured(act, 1);
  });
}

const kill = (pid: number): void => void process.kill(pid, 'SIGKILL');

/** F3: the tool itself is killed: it is started again, once. */
export const killTool = (tool: HeldTool) => (): Promise<Measured> => withTool(tool, async ({ pid }) => kill(pid), 2);

/**
 * The wrapper is killed and the tool lives on: nobody learns its exit code. Once it has ended, it is started again; only
 * a pgBackRest backup is found in the repository, whole and with its operation's mark.
 */
export const killWrapper = (tool: HeldTool) => (): Promise<Measured> =>
  withTool(
    tool,
    async ({ pid, wrapper }) => {
      kill(wrapper.pid);
      process.kill(pid, 'SIGCONT');
    },
    tool === 'pgbackrest backup' ? 1 : 2,
  );

/** F1: the worker is killed while the tool works; the next one attaches to it. */
export const killWorkerOf = (tool: HeldTool) => (): Promise<Measured> =>
  withTool(
    tool,
    async ({ pid }, keeper) => {
      const { deaths, worker } = keeper;
      kill(worker.pid);
      while (keeper.deaths === deaths) await sleep(20);
      process.kill(pid, 'SIGCONT');
    },
    1,
  );

/** F2: the host restarts in the middle: everything is killed, and pids mean nothing any more. */
export const reboot = (tool: HeldTool) => (): Promise<Measured> =>
  withTool(
    tool,
    async (found, keeper, site) => {
      await keeper.halt();
      await killAll(() => processesOf(site.root));
      await ofAnotherBoot(found);
      if (tool === 'pgbackrest restore') {
        // Never started by anyone in this state: pg_control comes last.
        expect(existsSync(join(site.places.dataDir, 'global', 'pg_control'))).toBe(false);
      } else {
        await site.startServer();
      }
      await keeper.resume();
    },
    2,
  );

/** A worker that dies while pg_dumpall runs: it is no job, but short, and starts again. */
export async function killWorkerOfDumpall(): Promise<Measured> {
  return onSite({}, async (site) => {
    const act = new Act(site, 'dump');
    // pg_dumpall reads who is member of which role; nobody else does.
    const release = await lockTable(site, 'pg_catalog.pg_auth_members');
    const expected = await site.contentHash();
    await act.backup([], async (_work, keeper) => {
      const running = await site.waitFor(
        () => Promise.resolve(processesOf(site.root).find(({ command }) => /^\S*pg_dumpall /.test(command))),
        'pg_dumpall runs',
      );
      kill(keeper.worker.pid);
      // It is the dead worker's child: what waits for a lock would stay.
      await release();
      await site.waitFor(
        () => Promise.resolve(!processesOf(site.root).some(({ pid }) => pid === running.pid)),
        'the orphan has ended',
      );
    });
    await act.recover(expected);
    return measured(act, 1);
  });
}

/** D2: kills at seeded random instants, in backup and recovery; with a second worker beside, the work goes on there. */
export const atRandom =
  (policy: Policy, random: () => number, { times, second }: { times: number; second: boolean }) =>
  (): Promise<Measured> =>
    onSite({}, async (site) => {
      const act = new Act(site, policy);
      const other = second ? await site.startWorker() : undefined;
      let killed = 0;
      const meanwhile: Meanwhile = async (work, keeper) => {
        let over = false;
        const end = (): void => void (over = true);
        void site.result(work).then(end, end);
        killed += await keeper.killAtRandom(times, random, () => over);
      };
      const dumped = await site.contentHash();
      labelOf(await act.backup([], meanwhile));
      await site.commit(40);
      await act.recover(policy === 'dump' ? dumped : await site.contentHash(), [], meanwhile);
      await other?.stop();
      return measured(act, killed);
    });

/** F8: the Temporal server is killed and started again with its database, in the middle of a backup and of a recovery. */
export const killTemporal = (policy: Policy) => (): Promise<Measured> =>
  withKilledTemporal((address, restart) =>
    onSite({ address }, async (site) => {
      const act = new Act(site, policy);
      const lose: Meanwhile = async (work) => {
        await sleep(700);
        await restart();
        await site.waitFor(() => work.handle.describe(), 'the server knows the workflow again');
      };
      const dumped = await site.contentHash();
      labelOf(await act.backup([], lose));
      await site.commit(7);
      await act.recover(policy === 'dump' ? dumped : await site.contentHash(), [], lose);
      return measured(act, 2);
    }),
  );

/** F8: a backup is reset to its beginning while it runs, and after its end. */
export const resetBackup = (policy: Policy) => (): Promise<Measured> =>
  onSite({}, async (site) => {
    const act = new Act(site, policy);
    const expected = await site.contentHash();
    const release = policy === 'dump' ? await lockTable(site, 'metier.communes') : await holdArchive(site);
    let first: StartedOperation | undefined;
    const made = await act.backup([], async (work) => {
      first = work;
      await atWork(site, work.operationId, policy === 'dump' ? STEPS.pg_dump : STEPS['pgbackrest backup']);
      await resetBefore(site.session, work.workflowId, 'preflightBackup');
      await release();
    });
    if (first === undefined) throw new Error('nothing was started');
    const before = await startsOf(site);
    const worker = await site.startWorker();
    await resetBefore(site.session, first.workflowId, 'preflightBackup');
    const again = await site.result<BackupOutput>({ handle: site.session.client.workflow.getHandle(first.workflowId) });
    expect(labelOf(again)).toBe(labelOf(made));
    expect(minus(await startsOf(site), before)).toEqual({
      dump: 0,
      restore: 0,
      pgbackrestBackup: 0,
      pgbackrestRestore: 0,
      pgbackrestExpire: 0,
    });
    await worker.stop();
    expect(await labels(site, policy)).toEqual([labelOf(made)]);
    await act.recover(expected);
    return measured(act, 0);
  });

/** F8: a recovery is reset to before its first destructive step after it has opened the server, and after its end. */
export const resetRecovery = (policy: Policy) => (): Promise<Measured> =>
  onSite({}, async (site) => {
    const act = new Act(site, policy);
    const firstStep = policy === 'dump' ? 'safetyBackup' : 'stopServer';
    const opened = policy === 'dump' ? 'swapDatabases' : 'rearmArchiving';
    labelOf(await act.backup());
    let work: StartedOperation | undefined;
    const output = await act.recover(await site.contentHash(), [], async (started) => {
      work = started;
      await site.waitFor(
        async () => (await site.status(started)).phases.some(({ name }) => /fresh backup/.test(name)),
        `${opened} is done`,
      );
      await resetBefore(site.session, started.workflowId, firstStep);
    });
    // Business goes on; a Reset of the closed recovery must not take it back.
    await site.commit(11);
    const later = await site.contentHash();
    const before = await startsOf(site);
    const worker = await site.startWorker();
    if (work === undefined) throw new Error('nothing was started');
    await resetBefore(site.session, work.workflowId, firstStep);
    const refused = await site.session.client.workflow
      .getHandle(work.workflowId)
      .result()
      .catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(WorkflowFailedError);
    expect(rootCause(refused)).toMatchObject({ type: 'approval-used' });
    expect(await site.contentHash()).toEqual(later);
    expect(minus(await startsOf(site), before)).toEqual({
      dump: 0,
      restore: 0,
      pgbackrestBackup: 0,
      pgbackrestRestore: 0,
      pgbackrestExpire: 0,
    });
    await worker.stop();
    expect(output.outcome).not.toBeNull();
    return measured(act, 0);
  });

/** Records outlive Temporal: its database is lost in the middle of an incident, and a new server recovers. */
export async function loseTemporal(): Promise<Measured> {
  const first = await startTemporalServer();
  const second = await startTemporalServer();
  try {
    return await onSite({ address: first.address }, async (site) => {
      const act = new Act(site, 'physical');
      const label = labelOf(await act.backup());
      await site.commit(9);
      const expected = await site.contentHash();
      await site.loseInstance('data');
      const keeper = await Keeper.begin(site, 'incident');
      const incident = await startIncident(site.session, {
        cluster: site.cluster,
        scenario: 'instance-loss',
        requester: 'test',
      });
      await site.waitFor(async () => {
        const child = (await incident.handle.describe()).raw.pendingChildren?.[0]?.workflowId;
        return child != null && (await site.session.client.workflow.getHandle(child).query<unknown>('plan')) !== null;
      }, 'the incident has a plan');
      process.kill(first.pid, 'SIGKILL');
      await keeper.halt();
      await site.moveTo(second.address);
      await keeper.resume();
      const listed = await site.backups();
      expect(listed.map((backup) => [backup.label, backup.status, backup.proven?.level])).toEqual([
        [label, 'complete', 'verified'],
      ]);
      const work = await site.recover('physical');
      await site.approve(work);
      expect((await site.recovered(work)).state).toBe('completed');
      expect(await site.contentHash()).toEqual(expected);
      await keeper.stop();
      expect(await site.leftovers()).toEqual({ processes: [], files: [], databases: [] });
      return measured(act, 1);
    });
  } finally {
    await Promise.all([first.stop(), second.stop()]);
  }
}

function rootCause(error: unknown): unknown {
  let cause = error;
  while (cause instanceof Error && cause.cause instanceof Error) cause = cause.cause;
  return cause;
}
