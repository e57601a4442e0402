import { CancellationScope, log, sleep, workflowInfo } from '@temporalio/workflow';
import type { BackupStep, ClusterFacts, PartlyMade, PolicyFacts } from '../../activities/api.js';
import type { FailedPart } from '../../domain/backup/backup.js';
import type { VerificationOrder } from '../../domain/operation/orders.js';
import { holderText } from '../../domain/operation/locks.js';
import type { TableSuspicion } from '../../domain/table/history.js';
import { formatTableName } from '../../domain/table/table-name.js';
import { markdownSentence, markdownText } from '../../domain/text/markdown.js';
import type { BackupInput, BackupOutput, RotateInput, RotateOutput } from '../api.js';
import { underLock, withClusterLock } from '../lock/with-cluster-lock.js';
import { withHostSlot } from '../lock/with-host-slot.js';
import {
  controlActivities,
  heavyActivities,
  hostActivitiesFor,
  readActivities,
} from '../operation/activity-proxies.js';
import { withHeartbeats } from '../operation/heartbeats.js';
import { failureNotice } from '../operation/notifications.js';
import { type Operation, openOperation, policyFacts } from '../operation/open-operation.js';
import { failureOf, isCancelled, refusal } from '../operation/operation-status.js';
import { runStep } from '../operation/run-step.js';
import { scheduledStart } from '../operation/scheduled-start.js';
import { untilRecorded } from '../operation/until-recorded.js';
import { notifyRefused, removeExpired } from './rotate.js';

/** A start that the server makes in time comes within seconds. */
const LATE_MS = 60_000;
/** The server starts a run within a second of its time. */
const MOMENT_MS = 1000;

const NO_ROTATION: RotateOutput = {
  keep: [],
  remove: [],
  removed: [],
  refused: {
    reason: 'this run replaces a scheduled run that was missed, and such a run removes nothing',
    hint: 'the next scheduled run rotates; or: reprise rotate',
  },
};

/** Back up, verify, rotate: in that order, so that nothing is removed before its successor is verified. */
export function backup(input: BackupInput): Promise<BackupOutput> {
  const { policy } = input.order;
  const run = (operation: Operation, facts: ClusterFacts) => {
    const work = () => backUpUnlessBusy(operation, input, facts);
    // Silence is noticed where somebody expects a run.
    if (facts.policies[policy]?.nextRunAt === undefined) return work();
    return withHeartbeats(operation, facts, policy, work, ({ skipped, failed }) => {
      if (skipped) return null;
      return failed ? 'failed' : 'succeeded';
    });
  };
  return openOperation('backup', input, run, scheduledStart() === undefined ? undefined : tellSkippedRuns(policy));
}

async function backUpUnlessBusy(operation: Operation, input: BackupInput, facts: ClusterFacts): Promise<BackupOutput> {
  const { cluster, order } = input;
  const { policy } = order;
  const policyOf = policyFacts(facts, cluster, policy);
  if (!policyOf.enabled)
    return skip(operation, policy, 'policy-disabled', `policy ${policy} of ${cluster} is disabled (enabled: false)`);
  const { engine, repository } = policyOf;
  const locked = () =>
    withClusterLock(
      operation,
      { kind: 'backup', policy, engine, repository },
      () =>
        backUpAndRotate(operation, input, policyOf, facts.suspects === true).catch((error: unknown) =>
          recordFailure(operation, policy, error),
        ),
      {
        giveWay: (holder) =>
          skip(operation, policy, 'lock-held', `${holderText(cluster, holder)} (${holder.workflowId})`),
      },
    );
  return withHostSlot(operation, 'heavy', locked);
}

/** The schedule starts no run while this one is open. People hear of each that was left out: nobody sees a run that is not there. */
function tellSkippedRuns(policy: string): (operation: Operation, facts: ClusterFacts) => Promise<void> {
  return async ({ status, notifications, step: { cluster, workflowId } }, { policies }) => {
    for (let due = policies[policy]?.nextRunAt; due !== undefined;) {
      await sleep(Math.max(0, Date.parse(due) - Date.now()) + MOMENT_MS, { summary: `the next run is due at ${due}` });
      if (await controlActivities.isScheduled({ cluster, policy })) {
        const { state, phase, waitingFor } = status.status();
        const reason = `${workflowId} is still open: ${state}, ${phase}${waitingFor === null ? '' : ` (${waitingFor})`}`;
        await notifications.notify({ kind: 'skipped', policy, due, reason });
      }
      due = (await controlActivities.describeCluster({ cluster })).policies[policy]?.nextRunAt;
    }
  };
}

async function backUpAndRotate(
  operation: Operation,
  input: BackupInput,
  facts: PolicyFacts,
  suspects: boolean,
): Promise<BackupOutput> {
  const { status, host, step } = operation;
  const { policy } = input.order;
  const verification = facts.proof === 'none' ? null : new Verification(operation, facts);
  const { made, notes, ...run } = await backUp(operation, input, facts.engine, verification);
  await tellFailed(operation, policy, run.failed);
  // Before anything is removed: older backups have the rows.
  const suspicions = suspects ? await tellSuspicions(operation, policy, made) : [];
  const untold = (await verification?.of(made)) ?? [];
  const unproven = verification?.failedOf(made) ?? [];
  await tellFailed(operation, policy, untold);
  const failed = [...run.failed, ...unproven];
  const late = startedLate();
  const rotation = late ? NO_ROTATION : await removeExpired(operation, { policy, ...kept(failed) });
  if (!late) await notifyRefused(operation, policy, rotation);
  const read = 'read the catalogue';
  const backups = await runStep(operation, read, () =>
    readActivities(host, read).readBackups({ ...step, backupIds: made }),
  );
  status.show(
    'completed',
    null,
    summaryOf(made, rotation) + failedText(failed) + suspicionsText(suspicions) + notesText(notes),
  );
  return {
    ...{ backups, rotation },
    ...(notes.length > 0 ? { notes } : {}),
    ...(failed.length > 0 ? { failed } : {}),
    ...(suspicions.length > 0 ? { suspicions } : {}),
  };
}

/** Rows that changed abnormally are told of, with the backup that is good all the same. That nobody could look fails no backup. */
async function tellSuspicions(
  { host, step, status, notifications }: Operation,
  policy: string,
  backupIds: readonly string[],
): Promise<readonly TableSuspicion[]> {
  const name = 'compare recorded rows with earlier backups';
  try {
    const { tables, more } = await status.phase(name, () =>
      readActivities(host, name).suspectTables({ ...step, backupIds }),
    );
    if (tables.length > 0) await notifications.notify({ kind: 'suspicion', policy, tables, more });
    return tables;
  } catch (error) {
    if (isCancelled(error)) throw error;
    log.warn('rows could not be compared with those of earlier backups', { code: failureOf(error).code });
    return [];
  }
}

function suspicionsText(suspicions: readonly TableSuspicion[]): string {
  const lines = suspicions.map(
    ({ database, table, text }) => `- ${markdownText(`${formatTableName(table)} of ${database}: ${text}`)}`,
  );
  return lines.length === 0 ? '' : `\n\n**Suspicious rows:**\n\n${lines.join('\n')}`;
}

/** Backups of databases that failed stay, all of them: nothing is removed before its successor is verified. */
function kept(failed: readonly FailedPart[]): Pick<RotateInput['order'], 'failed'> {
  return failed.length === 0 ? {} : { failed: failed.flatMap(({ database, backupId }) => database ?? backupId ?? []) };
}

/** What failed is told at once: the others may take hours. */
async function tellFailed({ notifications }: Operation, policy: string, failed: readonly FailedPart[]): Promise<void> {
  if (failed.length === 0) return;
  const message = `${failed.map(failedInWords).join('; ')}; the others of this run go on`;
  const hint = 'correct what it says, then run the backup again; older backups of these databases are kept';
  await notifications.notify(failureNotice('backup', policy, { code: 'partly-done', message, hint }));
}

function failedInWords({ database, backupId, reason }: FailedPart): string {
  return backupId === null
    ? `database ${JSON.stringify(database)} has no backup: ${reason}`
    : `${backupId} is not verified: ${reason}`;
}

function failedText(failed: readonly FailedPart[]): string {
  return failed.length === 0
    ? ''
    : `\n\n**Failed:**\n\n${failed.map((one) => `- ${markdownSentence(failedInWords(one))}`).join('\n')}`;
}

async function backUp(
  operation: Operation,
  { cluster, requester, order }: BackupInput,
  engine: string,
  verification: Verification | null,
): Promise<PartlyMade & { readonly notes: readonly string[] }> {
  const { status, host, step } = operation;
  const check = 'check before the backup';
  const ordered = { requester, order, startedAt: workflowInfo().startTime.toISOString() };
  const notes = await status.phase(check, () =>
    runStep(operation, check, () => heavyActivities(host, check).preflightBackup({ ...step, ...ordered })),
  );
  const attempt = (name: string, partly: Pick<BackupStep, 'partly'>) =>
    status.phase(name, () =>
      runStep(operation, name, () =>
        underLock(operation, (locked) =>
          heavyActivities(host, `back up ${cluster} with ${engine}`).runBackup({ ...locked, ...ordered, ...partly }),
        ),
      ),
    );
  const first = await attempt('back up', verification === null ? {} : { partly: true });
  // What is made does not wait for what may take hours to come back.
  const isWhole = !('made' in first) || first.later === undefined;
  if (!isWhole) await tellFailed(operation, order.policy, (await verification?.of(first.made)) ?? []);
  const run = isWhole ? first : await attempt('back up what is missing', {});
  return { ...('made' in run ? run : { made: run, failed: [] }), notes };
}

/** Each backup of a run is verified once, whatever becomes of the others. */
class Verification {
  private readonly verified = new Set<string>();
  private readonly failed: FailedPart[] = [];
  private first: unknown;

  constructor(
    private readonly operation: Operation,
    private readonly policy: PolicyFacts,
  ) {}

  /** Verifies those that are not verified yet. Returns which of them failed. */
  async of(made: readonly string[]): Promise<readonly FailedPart[]> {
    const before = this.failed.length;
    const { proof, restoreEvery } = this.policy;
    const inTurn = restoreEvery === undefined ? {} : { inTurn: true as const };
    for (const backupId of made) {
      if (this.verified.has(backupId)) continue;
      this.verified.add(backupId);
      await verify(this.operation, { backupId, restore: proof === 'restore', ...inTurn }).catch((error: unknown) => {
        if (isCancelled(error)) throw error;
        this.first ??= error;
        const { code, message: reason } = failureOf(error);
        this.failed.push({ database: null, backupId, code, reason });
      });
    }
    return this.failed.slice(before);
  }

  /**
   * What failed of all that was made.
   * @throws the first failure where all failed
   */
  failedOf(made: readonly string[]): readonly FailedPart[] {
    if (made.length > 0 && this.failed.length === made.length) throw this.first;
    return this.failed;
  }
}

async function verify(operation: Operation, order: VerificationOrder): Promise<void> {
  const { status, host } = operation;
  const { backupId } = order;
  const name = `verify ${backupId}`;
  const verdict = await status.phase(name, () =>
    runStep(operation, name, () =>
      underLock(operation, (step) => heavyActivities(host, name).proveBackup({ ...step, order })),
    ),
  );
  if (!verdict.ok)
    throw refusal(
      'backup-corrupt',
      `the verification of ${backupId} failed: ${verdict.detail}`,
      'it is quarantined; older backups were kept',
    );
}

async function skip(
  operation: Operation,
  policy: string,
  code: 'policy-disabled' | 'lock-held',
  reason: string,
): Promise<BackupOutput> {
  const { status, step, notifications } = operation;
  const due = scheduledStart()?.toISOString();
  // Whoever starts a run by hand reads it in the result.
  if (code === 'lock-held' && due !== undefined) await notifications.notify({ kind: 'skipped', policy, due, reason });
  await untilRecorded(operation, 'record why no backup was taken', (activities) =>
    activities.recordSkipped({ ...step, policy, reason }),
  );
  status.show('completed', null, `**Skipped:** ${markdownSentence(reason)}`);
  return { backups: [], skipped: { code, reason } };
}

/** People first, because the record may have to wait for a host that is gone. */
async function recordFailure({ notifications, host, step }: Operation, policy: string, error: unknown): Promise<never> {
  const failure = failureOf(error);
  const { code, message } = failure;
  if (!isCancelled(error)) await notifications.notify(failureNotice('backup', policy, failure));
  const recorded = CancellationScope.nonCancellable(() =>
    hostActivitiesFor(host, 'record the failure', '10m').recordFailed({ ...step, policy, code, reason: message }),
  );
  // Where even the record cannot be written, the failure itself is what people must see.
  await recorded.catch(() => log.warn('the failure could not be recorded'));
  throw error;
}

/** Started by a backfill or after an outage: such runs come in a row, and remove nothing. */
function startedLate(): boolean {
  const due = scheduledStart();
  return due !== undefined && workflowInfo().startTime.getTime() - due.getTime() > LATE_MS;
}

function summaryOf(made: readonly string[], rotation: RotateOutput): string {
  return `**Made:** ${markdownText(made.join(', '))}\n\n**Rotation:** ${markdownSentence(rotationText(rotation))}`;
}

function notesText(notes: readonly string[]): string {
  return notes.length === 0
    ? ''
    : `\n\n**To know:**\n\n${notes.map((note) => `- ${markdownSentence(note)}`).join('\n')}`;
}

function rotationText(rotation: RotateOutput): string {
  if (rotation === NO_ROTATION) return `none: ${NO_ROTATION.refused?.reason ?? ''}`;
  if (rotation.refused) return `refused: ${rotation.refused.reason}`;
  return rotation.removed.length > 0 ? `removed ${rotation.removed.join(', ')}` : 'nothing removed';
}
