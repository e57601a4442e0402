import type { RecoveryOutcome } from '../backup/records.js';
import type { CheckResult, ReachedTarget, StepEvent, StoppedServer } from '../operation/step-events.js';
import { formatTarget } from '../target/target.js';
import { durationInWords } from '../text/text.js';
import type { Plan, RecoveryMethod } from './plan.js';
import { stepNames } from './recovery-step-names.js';

/** What the host knows of an operation: its own ledger, and nothing that a client said. */
export interface RecoveryFacts {
  /** The plan that was carried out. */
  readonly plan: Plan;
  /** When the host was first asked for a plan, and since when it had seen the cluster fail; null: it had not. */
  readonly requestedAt: string;
  readonly failingSince: string | null;
  /** Every plan of the operation, with the last approval that it got. */
  readonly plans: readonly { readonly createdAt: string; readonly approvedAt: string | null }[];
  /** In the order of time. */
  readonly events: readonly StepEvent[];
}

/** Names of the steps by the activities that do them. */
const namesOfSteps: Readonly<Record<string, string>> = {
  startServer: stepNames.startServer,
  stopServer: stepNames.stopServer,
  salvageWal: stepNames.salvage,
  putAside: stepNames.moveOldData,
  restoreFiles: stepNames.restoreFiles,
  replayWal: stepNames.replay,
  restoreMedia: stepNames.media,
  runChecks: stepNames.runChecks,
  promoteServer: stepNames.promote,
  rearmArchiving: stepNames.rearm,
  safetyBackup: stepNames.safetyBackup,
  restoreDatabases: stepNames.restoreBeside,
  swapDatabases: stepNames.swap,
  freshBackup: stepNames.freshBackup,
};

/** The step that gives what was reached, and the one after which the server is checked and takes writes. */
const decisive: Readonly<Record<RecoveryMethod, { readonly reaches: string; readonly validates: string }>> = {
  restart: { reaches: 'startServer', validates: 'runChecks' },
  'data-directory': { reaches: 'replayWal', validates: 'promoteServer' },
  databases: { reaches: 'restoreDatabases', validates: 'swapDatabases' },
};

interface Span {
  readonly from: number;
  readonly to: number;
}

/** What a recovery came to: checks, target and figures; null where the ledger does not say that it was carried out. */
export function recoveryFigures(facts: RecoveryFacts): Omit<RecoveryOutcome, 'report'> | null {
  const { plan, events } = facts;
  const { reaches, validates } = decisive[plan.binding.method];
  const own = events.filter((event) => event.plan === plan.digest && event.what === 'done');
  const reached = own.findLast(({ step }) => step === reaches)?.result as ReachedTarget | undefined;
  const validated = own.find(({ step }) => step === validates);
  if (!reached || !validated) return null;
  const checks = (own.findLast(({ step }) => step === 'runChecks')?.result ?? []) as readonly CheckResult[];
  const validatedAt = Date.parse(validated.at);
  const since = Date.parse(facts.failingSince ?? facts.requestedAt);
  const approvals = waitsForApproval(facts);
  const waits = [...approvals, ...waitsForDecisions(events)];
  return {
    target: { requested: formatTarget(plan.binding.target), reached: reached.reached },
    rtoSeconds: Math.max(0, validatedAt - since - timeWithin(waits, { from: since, to: validatedAt })) / 1000,
    waitedForPeopleSeconds: timeWithin(waits) / 1000,
    ...(leavesProduction(plan) ? { leavesProduction: true as const } : {}),
    place: placeOf(plan),
    rpoSeconds: rpoOf(facts, reached, acceptedWritesUntil(facts, own, { since, validatedAt })),
    lastCommitAt: reached.lastCommitAt,
    lastLsn: reached.lastLsn,
    phases: [{ name: 'wait for approval', seconds: timeWithin(approvals) / 1000 }, ...phasesOf(events)],
    checks,
  };
}

/**
 * Seconds whose commits may be lost: 0 where the last valid WAL record was replayed, null where it is not known, or where nothing was
 * lost because what is there was not replaced.
 */
function rpoOf({ plan }: RecoveryFacts, { complete, lastCommitAt }: ReachedTarget, until: number): number | null {
  if (leavesProduction(plan)) return null;
  if (complete) return 0;
  return lastCommitAt === null ? null : Math.max(0, (until - Date.parse(lastCommitAt)) / 1000);
}

function placeOf({ binding: { into, targetHost: host, dataDir, port } }: Plan): RecoveryOutcome['place'] {
  return { into, host, dataDir, port };
}

/** It recovers beside a server that goes on. */
export function leavesProduction({ binding, observed }: Pick<Plan, 'binding' | 'observed'>): boolean {
  return binding.into !== 'in-place' && observed.serverIsThere !== false;
}

/** The last instant at which the old server, or the old databases, may have accepted writes, ms since the epoch. */
function acceptedWritesUntil(
  { plan, failingSince }: RecoveryFacts,
  own: readonly StepEvent[],
  { since, validatedAt }: { readonly since: number; readonly validatedAt: number },
): number {
  const { method, into } = plan.binding;
  // Until they are renamed; what was restored is checked by then.
  if (method === 'databases') return validatedAt;
  const stop = own.find(({ step }) => step === 'stopServer');
  if (into !== 'in-place' || stop === undefined) return since;
  const stopped = (stop.result ?? null) as StoppedServer | null;
  const stoppedAt = Date.parse(stopped?.at ?? stop.at);
  const wasSeenDown = failingSince !== null || plan.observed.serverIsThere === false;
  if (stopped === null || stopped.wasRunning || !wasSeenDown) return Math.max(since, stoppedAt);
  // It may have answered for a while after it was first seen down.
  return Math.max(since, stopped.lastWriteAt === null ? since : Math.min(Date.parse(stopped.lastWriteAt), stoppedAt));
}

/** From each plan to its approval; one that nobody approved was waited for until the next was made. */
function waitsForApproval({ plans }: RecoveryFacts): readonly Span[] {
  const sorted = plans.toSorted((left, right) => (left.createdAt < right.createdAt ? -1 : 1));
  return sorted.flatMap(({ createdAt, approvedAt }, index) => {
    const end = approvedAt ?? sorted[index + 1]?.createdAt;
    return end === undefined ? [] : [{ from: Date.parse(createdAt), to: Date.parse(end) }];
  });
}

/** Until somebody decided on what was recovered, or had a failed step tried again. */
function waitsForDecisions(events: readonly StepEvent[]): readonly Span[] {
  return events.flatMap((event, index) => {
    const before = events[index - 1];
    if (!before) return [];
    const again = event.what === 'begun' && before.what === 'failed' && event.retry > before.retry;
    return event.what === 'decided' || again ? [{ from: Date.parse(before.at), to: Date.parse(event.at) }] : [];
  });
}

/** Milliseconds that the spans take, in a window where one is named. */
function timeWithin(spans: readonly Span[], window: Span = { from: -Infinity, to: Infinity }): number {
  return spans.reduce(
    (sum, { from, to }) => sum + Math.max(0, Math.min(to, window.to) - Math.max(from, window.from)),
    0,
  );
}

/** Steps in the order in which they were first begun; what was tried again counts with every attempt. */
function phasesOf(events: readonly StepEvent[]): readonly { readonly name: string; readonly seconds: number }[] {
  const seconds = new Map<string, number>();
  const begun = new Map<string, number>();
  for (const { step, what, at } of events) {
    if (what === 'decided') continue;
    const since = begun.get(step);
    const time = Date.parse(at);
    if (since !== undefined && what !== 'begun')
      seconds.set(step, (seconds.get(step) ?? 0) + Math.max(0, time - since) / 1000);
    if (what === 'begun') {
      // A worker that was lost has not said when: its attempt lasted until the next one at most.
      begun.set(step, since ?? time);
      seconds.set(step, seconds.get(step) ?? 0);
    } else begun.delete(step);
  }
  return [...seconds].map(([step, taken]) => ({ name: namesOfSteps[step] ?? step, seconds: taken }));
}

/** What may be lost, for a person. */
export function rpoInWords({
  rpoSeconds,
  leavesProduction: stays,
}: Pick<RecoveryOutcome, 'rpoSeconds' | 'leavesProduction'>): string {
  if (stays) return 'nothing was replaced: the cluster itself stays as it is';
  if (rpoSeconds === null) return 'not known';
  return rpoSeconds === 0 ? 'nothing was lost' : `at most ${durationInWords(rpoSeconds)}`;
}
