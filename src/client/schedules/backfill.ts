import type { Config } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import { backupWorkflowId } from '../../domain/operation/names.js';
import type { TemporalSession } from '../connect.js';
import { differences } from './schedule-differences.js';
import { describeOurs } from './operate-schedules.js';
import { wantedSchedules } from './apply-schedules.js';

/** Most starts of one backfill: a month of nights. Each is a backup of now; more would only fill the disk. */
export const MOST_STARTS = 31;
/** What is closer to now is the schedule's own business: it may be starting it at this moment. */
const SETTLED_MS = 120_000;

/** UTC ISO-8601 instants, both included. */
export interface BackfillRange {
  readonly from: string;
  readonly to: string;
}
export interface BackfillStart {
  /** When it was due. */
  readonly at: string;
  readonly workflowId: string;
  /** It ran, or runs, already: the server starts it no second time. */
  readonly alreadyStarted: boolean;
}

/**
 * The starts that a backfill would make, oldest first.
 * @throws RepriseError `usage` for a range that is empty, not past or too long; `not-found`, and `conflict` for a
 *   schedule that differs from the configuration
 */
export async function backfillStarts(
  session: TemporalSession,
  config: Config,
  id: string,
  { from, to }: BackfillRange,
): Promise<readonly BackfillStart[]> {
  const description = await describeOurs(session, id);
  const wanted = (await wantedSchedules(config)).find((one) => one.id === description.scheduleId);
  if (wanted === undefined || differences(wanted, description).length > 0) {
    throw new RepriseError(
      'conflict',
      `the schedule ${description.scheduleId} differs from the configuration`,
      'first type: reprise schedule apply',
    );
  }
  if (wanted.starts !== 'backup')
    throw new RepriseError(
      'usage',
      `${description.scheduleId} makes no backups: a drill that was missed is run once, now`,
      `reprise drill run ${wanted.cluster}`,
    );
  const [first, last] = [Date.parse(from), Date.parse(to)];
  if (first > last)
    throw new RepriseError('usage', `--from ${from} is after --to ${to}`, 'give the earlier one as --from');
  if (last > Date.now() - SETTLED_MS)
    throw new RepriseError(
      'usage',
      `--to ${to} is not at least ${SETTLED_MS / 1000} s in the past`,
      'a backfill starts only past runs: give an earlier --to, or run it now: reprise schedule trigger',
    );
  const { previousRuns } = await import('../../config/schedule.js');
  const due = previousRuns(wanted, new Date(last), MOST_STARTS + 1)
    .filter((at) => at.getTime() >= first)
    .toReversed();
  if (due.length > MOST_STARTS) {
    throw new RepriseError(
      'usage',
      `more than ${MOST_STARTS} starts were due between ${from} and ${to}`,
      'give a shorter range: each run makes a backup of the present data, and one is often enough (reprise schedule trigger)',
    );
  }
  if (due.length === 0)
    throw new RepriseError(
      'usage',
      `no start of ${wanted.id} was due between ${from} and ${to}`,
      'see when it is due: reprise schedule list',
    );
  return Promise.all(
    due.map(async (time) => {
      // As the server appends it: to the second.
      const at = time.toISOString().replace('.000Z', 'Z');
      const workflowId = `${backupWorkflowId(wanted.cluster, wanted.policy)}-${at}`;
      return { at, workflowId, alreadyStarted: await isThere(session, workflowId) };
    }),
  );
}

/** Has the server make these starts up, one after the other, also where the schedule is paused. */
export async function backfill(
  session: TemporalSession,
  config: Config,
  id: string,
  range: BackfillRange,
): Promise<readonly BackfillStart[]> {
  const starts = await backfillStarts(session, config, id, range);
  const { scheduleId } = await describeOurs(session, id);
  const missing = starts.filter(({ alreadyStarted }) => !alreadyStarted);
  // Each by itself: what ran already within the range is not started again. A start counts from just before it.
  const ranges = missing.map(({ at }) => ({
    start: new Date(Date.parse(at) - 1000),
    end: new Date(at),
    overlap: 'BUFFER_ALL' as const,
  }));
  if (ranges.length > 0) await session.client.schedule.getHandle(scheduleId).backfill(ranges);
  return starts;
}

async function isThere(session: TemporalSession, workflowId: string): Promise<boolean> {
  try {
    await session.client.workflow.getHandle(workflowId).describe();
    return true;
  } catch (error) {
    if (error instanceof Error && error.name === 'WorkflowNotFoundError') return false;
    throw error;
  }
}
