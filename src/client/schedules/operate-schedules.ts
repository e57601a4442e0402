import type { ScheduleDescription, ScheduleSummary } from '@temporalio/client';
import { setTimeout as sleep } from 'node:timers/promises';
import { RepriseError } from '../../domain/errors.js';
import type { TemporalSession } from '../connect.js';
import { manyAtOnce } from '../many-at-once.js';
import { ASKED_EACH, describeIfThere, markOf, ownSchedules } from './apply-schedules.js';

/** A schedule as `schedule list` shows it. */
export interface ScheduleLine {
  readonly id: string;
  readonly cluster: string;
  readonly policy: string;
  readonly paused: boolean;
  readonly note: string | null;
  readonly nextRuns: readonly string[];
  readonly lastRun: string | null;
  /** Runs that were due while the server was not running, for longer than the catch-up window; null where they were not counted. */
  readonly missedRuns: number | null;
  /** Runs left out because the one before was still running; null where they were not counted. */
  readonly skippedRuns: number | null;
}

/**
 * All schedules made by reprise on this server. With more than {@link ASKED_EACH} and unless `exact`, they are those of the
 * server's list, which does not count what was missed.
 */
export async function listSchedules(
  session: TemporalSession,
  { exact = false } = {},
): Promise<readonly ScheduleLine[]> {
  const listed = [...(await ownSchedules(session)).values()];
  const lines =
    exact || listed.length <= ASKED_EACH
      ? await manyAtOnce(listed, async ({ scheduleId: id }) => {
          const description = await describeIfThere(session, id);
          return description === undefined ? undefined : lineOf(description, description.info);
        })
      : listed.map((summary) => lineOf(summary));
  return lines.filter((line) => line !== undefined).sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** @throws `not-found` for a schedule that is not there, or not ours. */
export async function pauseSchedule(session: TemporalSession, id: string, note: string): Promise<ScheduleLine> {
  await scheduleLine(session, id);
  await session.client.schedule.getHandle(fullId(id)).pause(note);
  return scheduleLine(session, id);
}

export async function resumeSchedule(session: TemporalSession, id: string, note: string): Promise<ScheduleLine> {
  await scheduleLine(session, id);
  await session.client.schedule.getHandle(fullId(id)).unpause(note);
  return scheduleLine(session, id);
}

/** A server under load acts late. */
const TRIGGERED_MS = 120_000;

/**
 * Runs a schedule's backup now; returns the workflow id it got, null where the server started nothing (one is running).
 * @throws RepriseError `timeout` where the server does not say what it did
 */
export async function triggerSchedule(session: TemporalSession, id: string): Promise<string | null> {
  const before = await describeOurs(session, id);
  const known = new Set(before.info.recentActions.map(({ action }) => action.workflow.firstExecutionRunId));
  const skippedBefore = before.info.numActionsSkippedOverlap;
  await session.client.schedule.getHandle(fullId(id)).trigger('SKIP');
  // The server answers before it acts.
  for (const end = performance.now() + TRIGGERED_MS; performance.now() < end;) {
    const { info } = await describeOurs(session, id);
    const started = info.recentActions.find(({ action }) => !known.has(action.workflow.firstExecutionRunId));
    if (started) return started.action.workflow.workflowId;
    if (info.numActionsSkippedOverlap > skippedBefore) return null;
    await sleep(200);
  }
  throw new RepriseError(
    'timeout',
    `the Temporal server has not said within ${TRIGGERED_MS / 1000} s whether it started a run of ${fullId(id)}`,
    'see whether one runs with `reprise status`, and whether the server is well with `reprise doctor`',
  );
}

/** The one schedule, as a line. */
export async function scheduleLine(session: TemporalSession, id: string): Promise<ScheduleLine> {
  const description = await describeOurs(session, id);
  return lineOf(description, description.info) as ScheduleLine;
}

/** `mairie/nightly` is enough. */
function fullId(id: string): string {
  return id.startsWith('reprise/') ? id : `reprise/${id}`;
}

/** @throws RepriseError `not-found` for a schedule that is not there, or not ours */
export async function describeOurs(session: TemporalSession, id: string): Promise<ScheduleDescription> {
  const description = await describeIfThere(session, fullId(id));
  if (description !== undefined && markOf(description) !== undefined) return description;
  const why =
    description === undefined
      ? `there is no schedule ${fullId(id)}`
      : `the schedule ${fullId(id)} was not made by reprise`;
  throw new RepriseError('not-found', why, 'see `reprise schedule list`, or create it with `reprise schedule apply`');
}

function lineOf(
  schedule: Pick<ScheduleSummary, 'scheduleId' | 'memo' | 'state' | 'info'>,
  counted?: ScheduleDescription['info'],
): ScheduleLine | undefined {
  const mark = markOf(schedule);
  if (mark === undefined) return undefined;
  const { state, info } = schedule;
  return {
    id: schedule.scheduleId,
    cluster: mark.cluster,
    policy: mark.policy,
    paused: state.paused,
    note: state.note || null,
    nextRuns: info.nextActionTimes.slice(0, 3).map((time) => time.toISOString()),
    lastRun: info.recentActions.at(-1)?.takenAt.toISOString() ?? null,
    missedRuns: counted?.numActionsMissedCatchupWindow ?? null,
    skippedRuns: counted?.numActionsSkippedOverlap ?? null,
  };
}
