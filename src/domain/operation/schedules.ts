import type { ClusterConfig, Config, ScheduleConfig } from '../config.js';
import { type Finding, problem } from '../findings.js';
import { notifiersFor } from '../notification/recipients.js';
import { dailyCheckSchedule, drillSchedules, scheduleId } from './names.js';

/** A schedule that the configuration has for a cluster. */
export interface ClusterSchedule {
  /** The policy; of a schedule that makes no backup, its name in the place of a policy's. */
  readonly policy: string;
  readonly starts: 'backup' | 'drill' | 'drill-overdue' | 'daily-check';
  readonly schedule: ScheduleConfig;
}

/** Every morning, whatever became of the schedules that they look after. */
const EVERY_MORNING: ScheduleConfig = { cron: '0 6 * * *', catchUpSeconds: 6 * 3600 };
const AFTER_THE_DRILLS: ScheduleConfig = { cron: '20 6 * * *', catchUpSeconds: 6 * 3600 };

/** Schedules of all enabled policies that have one, of drills, and of what looks after them where somebody is told of it. */
export function schedulesOf(config: Pick<Config, 'notify' | 'notifiers'>, cluster: ClusterConfig): ClusterSchedule[] {
  const { policies, drill } = cluster;
  const work: ClusterSchedule[] = Object.values(policies).flatMap(({ name: policy, schedule, enabled }) =>
    schedule === undefined || !enabled ? [] : [{ policy, starts: 'backup', schedule }],
  );
  if (drill !== undefined)
    work.push(
      { policy: drillSchedules.drill, starts: 'drill', schedule: drill.schedule },
      { policy: drillSchedules.overdue, starts: 'drill-overdue', schedule: EVERY_MORNING },
    );
  if (work.length > 0 && tellsOfDailyCheck(config))
    work.push({ policy: dailyCheckSchedule, starts: 'daily-check', schedule: AFTER_THE_DRILLS });
  return work;
}

/** Whether people, or a service outside, are told what a daily check finds: without them nobody would read it. */
function tellsOfDailyCheck(config: Pick<Config, 'notify' | 'notifiers'>): boolean {
  return (['daily-check', 'run'] as const).some((event) => notifiersFor(config, event).length > 0);
}

/** A schedule as the server describes it. Times are UTC ISO-8601. */
export interface ScheduleState {
  readonly paused: boolean;
  readonly note: string | null;
  /** When it last started a run; null where it never did. */
  readonly lastRun: string | null;
  /** When it was made, or changed last: before that it owed no run. */
  readonly since: string;
  /** Whether a run that it started is still open. */
  readonly isRunning: boolean;
  /** Runs that the server left out because they were later than the catch-up window, since the schedule was made. */
  readonly missedRuns: number;
}

/** What a server needs to start a run, beyond the time to catch up. */
const START_SECONDS = 600;
/** Runs that somebody starts by hand shortly before one that is due stand for it. */
const EARLY_SECONDS = 60;

/** Runs that were due by then have begun by `now`, or do not begin any more: the server starts those after it late. */
export function owedUntil({ schedule }: ClusterSchedule, now: Date): Date {
  return new Date(now.getTime() - (schedule.catchUpSeconds + START_SECONDS) * 1000);
}

/**
 * What is wrong with a schedule whose newest run that it owes, by {@link owedUntil}, was due at `dueAt`: it is not there, or its last run did not begin, because it is
 * paused, because the one before still runs, or because it has stopped. A pause that costs no run is none's business.
 */
export function scheduleProblem(
  cluster: string,
  { policy }: ClusterSchedule,
  { state, dueAt }: { readonly state: ScheduleState | null; readonly dueAt: Date | undefined },
): Finding | null {
  const id = scheduleId(cluster, policy);
  const check = `schedule/${id}`;
  if (state === null)
    return problem(
      check,
      `schedule ${id} is not on the Temporal server: nothing starts its runs`,
      'reprise schedule apply; then find out who deleted it',
    );
  if (dueAt === undefined) return null;
  const last = Math.max(Date.parse(state.since), state.lastRun === null ? 0 : Date.parse(state.lastRun));
  if (last >= dueAt.getTime() - EARLY_SECONDS * 1000) return null;
  const due = `${dueAt.toISOString().slice(0, 16)}Z`;
  if (state.paused)
    return problem(
      check,
      `schedule ${id} is paused${state.note === null ? '' : ` (${state.note})`}: its run of ${due} did not take place`,
      `reprise schedule resume ${id}; to make up for it: reprise schedule trigger ${id}`,
    );
  if (state.isRunning)
    return problem(
      check,
      `schedule ${id} did not start its run of ${due}: the one before it is still running`,
      `see what it waits for: reprise status`,
    );
  const missed = state.missedRuns > 0 ? ` (${state.missedRuns} missed since it was made)` : '';
  return problem(
    check,
    `schedule ${id} did not start its run of ${due}${missed}`,
    `reprise schedule trigger ${id}; was the Temporal server off? reprise schedule list`,
  );
}
