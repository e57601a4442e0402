import type { Backup } from '../../domain/backup/backup.js';
import { RepriseError, isRepriseError } from '../../domain/errors.js';
import { detachedInWords } from '../../domain/plan/topology.js';
import { errorsInWords } from '../../domain/plan/plan-text.js';
import type { PlannedBackup, RestoreErrors } from '../../domain/plan/plan.js';
import type { BoundBackup, EngineContext, LogicalRestore } from '../../engines/engine.js';
import { swapDatabases } from '../../postgres/old-data/swap-databases.js';
import { forgetRestore } from '../../postgres/connection/restore-login.js';
import { readControlData } from '../../postgres/server/control-data.js';
import { probe } from '../../postgres/connection/probe.js';
import type { HostActivities, PlannedStep, ReachedTarget } from '../api.js';
import { makeBackup } from '../backup/backup.js';
import { acceptedText } from '../backup/restore-test.js';
import { withQuarantine } from './damaged-backup.js';
import { requirePromotion } from '../approval/decisions.js';
import type { HostDependencies } from '../dependencies.js';
import { sha256Hex } from '../../records/digest.js';
import { openHostState } from '../../records/host-state.js';
import { type ActivityRun, wrapActivity } from '../activity-wrapper.js';
import { databaseMark, oldDatabaseName, newDatabaseName, connectionAt } from '../../domain/plan/recovery-place.js';
import { type AuthorizedStep, beginChange, openAuthorizedStep, once } from './authorized-step.js';
import { besideDatabase, forgetMovedCopies, markOldData, recordOldData } from './old-data.js';
import { withDatabaseAt } from './one-database.js';
import { planToAccept, requireAccepted } from './restore-errors.js';
import { clusterLocks, currentBackups, postgresBinOf, record } from '../cluster-context.js';

type DatabaseSteps = Pick<HostActivities, 'safetyBackup' | 'restoreDatabases' | 'swapDatabases'>;

/** Dumps restored beside the live databases and swapped in by rename: the live ones are touched last. */
export function databaseSteps(deps: HostDependencies): DatabaseSteps {
  return {
    safetyBackup: wrapActivity('safetyBackup', async (step, run) => {
      const { clusterContext, plan } = await openAuthorizedStep(deps, step, run);
      const seen = await probe(connectionAt(clusterContext.cluster, plan.binding));
      if (!seen.ok) return `skipped: the server does not answer (${seen.layer}: ${seen.reason})`;
      const own = {
        ...step,
        operationId: `${step.operationId}/safety`,
        requester: 'recovery',
        order: { policy: plan.binding.policy, type: 'auto' as const },
      };
      try {
        const locks = clusterLocks.recovery(clusterContext.cluster.name);
        const { made, failed } = await makeBackup(clusterContext, own, run, locks);
        return [
          `taken: ${made.map(({ id }) => id).join(', ')}`,
          ...failed.map(({ database, reason }) => `not possible for database ${JSON.stringify(database)}: ${reason}`),
        ].join('; ');
      } catch (error) {
        // What is to be replaced may be what cannot be dumped: it is kept whole, so this stops nothing.
        if (isRepriseError(error) && error.code !== 'job-cancelled')
          return `not possible: ${error.message}; the old databases are kept anyway`;
        throw error;
      }
    }),
    restoreDatabases: wrapActivity('restoreDatabases', async (step, run) => {
      const work = await openAuthorizedStep(deps, step, run);
      // Once: after the swap it would find no copy beside, and begin another.
      const reached = await once(work, step, 'restore databases', () => restoreBeside(work, step, run));
      const accept = reached.errors ? await planToAccept(work, step, reached.errors) : null;
      return accept === null ? reached : { ...reached, accept };
    }),
    swapDatabases: wrapActivity('swapDatabases', async (step, run) => {
      const work = await openAuthorizedStep(deps, step, run);
      await requirePromotion(work.clusterContext, work.plan);
      await requireAccepted(work, await errorsOf(work, step));
      await beginChange(work);
      await startAgain(work);
      await once(work, step, SWAPPED, () => swapIn(work, step));
    }),
  };
}

/** As the ledger of this host has them. */
async function errorsOf({ clusterContext }: AuthorizedStep, step: PlannedStep): Promise<readonly RestoreErrors[]> {
  const state = openHostState(clusterContext.host.stateDir);
  const done = await state.onceDone<ReachedTarget>(step.operationId, 'restore databases', step.plan);
  return done?.result.errors ?? [];
}

/** Name of the step in the host's ledger: from then on the restored databases have the live ones' names. */
export const SWAPPED = 'swap databases';

/**
 * The live server may have died while people inspected the restored databases: whoever promotes wants them in it, so it is started
 * again. One that was shut down was shut down by somebody, and another cluster in its place is not the one of the plan.
 */
async function startAgain(work: AuthorizedStep): Promise<void> {
  const { clusterContext, plan, inPlace } = work;
  const { cluster, deps, user } = clusterContext;
  if (!inPlace || cluster.dataDir === undefined || cluster.host !== deps.host) return;
  const service = await work.service();
  if ((await service.status()) === 'running') return;
  const control = await readControlData(await postgresBinOf(clusterContext), cluster.dataDir, user);
  const isOfPlan = control !== null && control.systemIdentifier === plan.binding.systemIdentifier;
  if (isOfPlan && !control.state.startsWith('shut down')) await service.start();
}

async function swapIn(work: AuthorizedStep, step: PlannedStep): Promise<void> {
  const { clusterContext, plan } = work;
  const { detaches } = plan.binding;
  for (const { database } of plan.binding.backups) {
    if (!database) continue;
    const oldName = oldDatabaseName(database, step.operationId);
    const old = { keptId: `${step.operationId}/${database}`, what: `old database ${database}`, where: oldName };
    await recordOldData(work, step, `kept/${database}`, old);
    const copy = work.inPlace ? null : besideDatabase(work, step, database);
    if (copy) {
      // An earlier copy of that name is about to be old data.
      await forgetMovedCopies(work, step, database, copy.beside);
      await recordOldData(work, step, `kept/beside/${database}`, copy);
    }
    await swapDatabases(connectionAt(clusterContext.cluster, plan.binding), {
      live: database,
      fresh: newDatabaseName(database, step.operationId),
      oldData: oldName,
      mark: databaseMark(step.operationId),
      // An earlier copy beside is nobody's publisher or subscriber, whatever its dump had.
      ...(work.inPlace ? detaches && { detaches } : { detaches: 'all' as const }),
    });
    await markOldData(work, old);
    if (copy) await markOldData(work, copy);
    await forgetRestore(clusterContext.host.stateDir, newDatabaseName(database, step.operationId));
    await record(clusterContext, step, `dropped/${keptBeside(step, database)}`, {
      kind: 'kept-dropped',
      keptId: keptBeside(step, database),
    });
  }
  for (const text of detaches ? detachedInWords(detaches) : []) {
    const body = { kind: 'journal' as const, workflowId: step.workflowId, step: 'detached', text };
    await record(clusterContext, step, `detached/${sha256Hex(text)}`, body);
  }
}

const keptBeside = ({ operationId }: PlannedStep, database: string): string => `${operationId}/restored/${database}`;

/** Where the data comes from: the dumps of the plan, or one that is made of a temporary instance. */
interface Source {
  readonly context: EngineContext;
  readonly logical: LogicalRestore;
  boundOf(planned: PlannedBackup): BoundBackup;
  /** What came back, in words and figures. */
  readonly reached: Omit<ReachedTarget, 'errors'>;
}

async function restoreBeside(work: AuthorizedStep, step: PlannedStep, run: ActivityRun): Promise<ReachedTarget> {
  if (work.plan.binding.through !== undefined)
    return withDatabaseAt(work, step, run, ({ bound, ...source }) =>
      restoreFrom(work, step, { ...source, boundOf: () => bound }),
    );
  const current = await currentBackups(work.clusterContext, run);
  const oldest = work.plan.binding.backups
    .map(({ id }) => current.find((backup) => backup.id === id)?.startedAt ?? '')
    .toSorted()[0];
  return restoreFrom(work, step, {
    context: await work.context(),
    logical: logicalOf(work),
    boundOf: (planned) => approvedBackup(planned, current),
    reached: {
      reached: `dump of ${oldest ?? 'unknown'}`,
      ...{ lastLsn: null, lastCommitAt: oldest ?? null, complete: false },
    },
  });
}

async function restoreFrom(
  work: AuthorizedStep,
  step: PlannedStep,
  { context, logical, boundOf, reached }: Source,
): Promise<ReachedTarget> {
  const { binding } = work.plan;
  const connection = connectionAt(work.clusterContext.cluster, binding);
  const accepted: string[] = [];
  const errors: RestoreErrors[] = [];
  for (const planned of binding.backups)
    // What is wrong with a dump that was made on the way says nothing of the backup.
    await withQuarantine(work.clusterContext, step, binding.through === undefined ? planned.id : undefined, () =>
      restoreOne(planned),
    );
  return {
    ...reached,
    reached: `${reached.reached}${acceptedText(accepted)}${errorsText(errors)}`,
    ...(errors.length > 0 && { errors }),
  };

  async function restoreOne(planned: PlannedBackup): Promise<void> {
    const { backup, content } = boundOf(planned);
    const database = planned.database ?? '';
    const intoDatabase = newDatabaseName(database, step.operationId);
    // Until it is swapped in: given up, the copy is evidence that somebody knows of and can drop.
    const keptId = keptBeside(step, database);
    const what = `restored copy of database ${database}, not put in its place`;
    const copy = { keptId, what, where: intoDatabase };
    await recordOldData(work, step, `kept/${keptId}`, copy);
    await logical.restoreGlobals(context, { backup, content, connection });
    const restored = await logical
      .restoreDatabase(context, {
        ...{ backup, content, intoDatabase, connection },
        restoreAs: binding.restoreAs,
        returnsErrors: true,
      })
      .catch(async (error: unknown) => {
        // Half restored, too, it is ours to drop.
        await markOldData(work, copy).catch(() => undefined);
        throw error;
      });
    accepted.push(...restored.accepted.map((what) => `${database}: ${what}`));
    if (restored.errors.length > 0) errors.push({ database, copy: intoDatabase, errors: restored.errors });
    await markOldData(work, copy);
  }
}

function errorsText(errors: readonly RestoreErrors[]): string {
  const count = errorsInWords(errors).length;
  return count === 0
    ? ''
    : `; without what the restore could not make (${count === 1 ? 'an error' : `${count} errors`})`;
}

/**
 * The backup of the plan, and what the plan binds of it, which its engine compares with what it uses.
 * @throws RepriseError `no-usable-backup`, `backup-corrupt`; `plan-stale` for a plan that binds no content
 */
export function approvedBackup(planned: PlannedBackup | undefined, current: readonly Backup[]): BoundBackup {
  const backup = current.find(({ id }) => id === planned?.id);
  if (!planned || !backup)
    throw new RepriseError(
      'no-usable-backup',
      `backup ${planned?.id ?? ''} of the plan is gone`,
      'make a new plan: reprise recover',
    );
  if (backup.status === 'quarantined' || planned.hash !== (backup.sha256 ?? null)) {
    throw new RepriseError(
      'backup-corrupt',
      `backup ${backup.id} is not the one that was approved`,
      'make a new plan: reprise recover',
    );
  }
  if (planned.content === undefined)
    throw new RepriseError(
      'plan-stale',
      `the plan does not say which content backup ${backup.id} has to have`,
      'make a new plan: reprise recover',
    );
  return { backup, content: planned.content };
}

function logicalOf(work: AuthorizedStep): LogicalRestore {
  const { logical } = work.engine();
  if (!logical)
    throw new RepriseError('capability-missing', `engine ${work.plan.binding.engine} restores no single databases`);
  return logical;
}
