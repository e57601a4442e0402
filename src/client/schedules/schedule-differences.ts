import type { CalendarSpec, DayOfWeek, Month, ScheduleDescription } from '@temporalio/client';
import {
  backupWorkflowId,
  CONTROL_QUEUE,
  dailyCheckWorkflowId,
  drillOverdueWorkflowId,
  drillWorkflowId,
  workflowTypes,
} from '../../domain/operation/names.js';
import { priorityOf } from '../../domain/operation/priorities.js';
import type { ScheduleConfig } from '../../domain/config.js';
import type { ClusterSchedule } from '../../domain/operation/schedules.js';
import {
  backupRunbook,
  dailyCheckRunbook,
  drillOverdueRunbook,
  drillRunbook,
  type OperationRunbook,
} from '../../domain/plan/runbooks.js';
import type { BackupInput, DailyCheckInput, DrillInput, DrillOverdueInput } from '../../workflows/api.js';

/** A schedule the config asks for. */
export interface WantedSchedule extends ScheduleConfig {
  readonly calendar: CalendarSpec;
  readonly id: string;
  readonly cluster: string;
  /** Of a schedule that makes no backup, its name in the place of a policy's. */
  readonly policy: string;
  readonly starts: ClusterSchedule['starts'];
}

export const months: readonly Month[] = [
  ...(['JANUARY', 'FEBRUARY', 'MARCH', 'APRIL', 'MAY', 'JUNE'] as const),
  ...(['JULY', 'AUGUST', 'SEPTEMBER', 'OCTOBER', 'NOVEMBER', 'DECEMBER'] as const),
];
export const days: readonly DayOfWeek[] = [
  'SUNDAY',
  'MONDAY',
  'TUESDAY',
  'WEDNESDAY',
  'THURSDAY',
  'FRIDAY',
  'SATURDAY',
];

/** The workflow a schedule starts; the server appends the time to its id. */
export function actionOf(wanted: WantedSchedule) {
  const { type, workflowId, input, runbook } = startOf(wanted);
  return {
    type: 'startWorkflow' as const,
    workflowType: type,
    workflowId,
    taskQueue: CONTROL_QUEUE,
    args: [input],
    staticSummary: runbook.summary,
    staticDetails: runbook.details,
    priority: priorityOf(type),
  };
}

interface ScheduledStart {
  readonly type: string;
  readonly workflowId: string;
  readonly input: BackupInput | DailyCheckInput | DrillInput | DrillOverdueInput;
  readonly runbook: OperationRunbook;
}

function startOf({ starts, cluster, policy }: WantedSchedule): ScheduledStart {
  switch (starts) {
    case 'backup':
      return {
        type: workflowTypes.backup,
        workflowId: backupWorkflowId(cluster, policy),
        input: { cluster, requester: 'schedule', order: { policy, type: 'auto' } },
        runbook: backupRunbook(cluster, policy),
      };
    case 'drill':
      return {
        type: workflowTypes.drill,
        workflowId: drillWorkflowId(cluster, 'scheduled'),
        input: { cluster, requester: 'schedule', order: {} },
        runbook: drillRunbook(cluster),
      };
    case 'drill-overdue':
      return {
        type: workflowTypes.drillOverdue,
        workflowId: drillOverdueWorkflowId(cluster),
        input: { cluster },
        runbook: drillOverdueRunbook(cluster),
      };
    case 'daily-check':
      return {
        type: workflowTypes.dailyCheck,
        workflowId: dailyCheckWorkflowId(cluster),
        input: { cluster },
        runbook: dailyCheckRunbook(cluster),
      };
  }
}

/** What differs between config and server, in words; empty where nothing does. */
export function differences(wanted: WantedSchedule, found: ScheduleDescription): string[] {
  const action = actionOf(wanted);
  const { spec, policies } = found;
  const pairs: [string, unknown, unknown][] = [
    ['times', [spelt(wanted.calendar)], (spec.calendars ?? []).map(spelt)],
    ['other times', [0, 0], [spec.intervals?.length ?? 0, spec.skip?.length ?? 0]],
    ['time zone', wanted.timezone ?? 'UTC', spec.timezone || 'UTC'],
    ['catch-up window', wanted.catchUpSeconds, Math.round(policies.catchupWindow / 1000)],
    ['overlap', 'SKIP', policies.overlap],
    ['pause on failure', false, policies.pauseOnFailure],
    [
      'workflow',
      [action.workflowType, action.workflowId, action.taskQueue],
      [found.action.workflowType, found.action.workflowId, found.action.taskQueue],
    ],
    ['input', action.args, found.action.args],
    ['priority', action.priority.priorityKey, found.action.priority?.priorityKey],
  ];
  return pairs.flatMap(([what, here, there]) => {
    const [ours, theirs] = [JSON.stringify(here), JSON.stringify(there)];
    return ours === theirs ? [] : [`${what}: ${theirs} becomes ${ours}`];
  });
}

/** One text for one calendar, so that the spelling of its ranges makes no difference. */
export function spelt(calendar: CalendarSpec): string {
  const parts = ['second', 'minute', 'hour', 'dayOfMonth', 'month', 'dayOfWeek', 'year'] as const;
  return parts.map((part) => valuesOf(calendar[part]).join(',') || '*').join(' ');
}

/** The values of a field, each once; months count from 1 and days of the week from 0, as in cron. */
function valuesOf(field: CalendarSpec[keyof CalendarSpec]): number[] {
  const held = new Set<number>();
  for (const range of Array.isArray(field) ? field : []) {
    const { start, end, step }: { start: unknown; end?: unknown; step?: number } =
      typeof range === 'object' ? range : { start: range };
    // The server leaves out what is 0: the end and the step of a single value.
    const last = Math.max(valueOf(start), end === undefined ? 0 : valueOf(end));
    for (let value = valueOf(start); value <= last; value += step || 1) held.add(value);
  }
  return [...held].sort((left, right) => left - right);
}

function valueOf(value: unknown): number {
  const month = months.indexOf(value as Month) + 1;
  return month > 0 ? month : Math.max(days.indexOf(value as DayOfWeek), Number(value) || 0);
}
