import type { CalendarSpec, DayOfWeek, Month, ScheduleDescription } from '@temporalio/client';
import { backupWorkflowId, CONTROL_QUEUE, workflowTypes } from '../../domain/operation/names.js';
import type { BackupInput } from '../../workflows/api.js';
import { backup } from '../../domain/plan/runbooks.js';
import { dayNames, monthNames } from '../../domain/schedule/schedule-spec.js';
import type { CalendarRange, CalendarTimes, WantedSchedule } from '../../domain/schedule/schedule-spec.js';

/** The calendar as the client takes it. */
export function calendarSpec(times: CalendarTimes): CalendarSpec {
  return {
    second: [...times.second],
    minute: [...times.minute],
    hour: [...times.hour],
    dayOfMonth: [...times.dayOfMonth],
    month: times.month.map((range) => named(range, (value) => monthNames[value - 1] as Month)),
    dayOfWeek: times.dayOfWeek.map((range) => named(range, (value) => dayNames[value] as DayOfWeek)),
  };
}

/** The backup workflow a schedule starts; the server appends the time to its id. */
export function actionOf(wanted: WantedSchedule) {
  const input: BackupInput = { cluster: wanted.cluster, policy: wanted.policy, type: 'auto', requestedBy: 'schedule' };
  const runbook = backup(wanted.cluster, wanted.policy);
  return {
    type: 'startWorkflow' as const,
    workflowType: workflowTypes.backup,
    workflowId: backupWorkflowId(wanted.cluster, wanted.policy),
    taskQueue: CONTROL_QUEUE,
    args: [input],
    staticSummary: runbook.summary,
    staticDetails: runbook.details,
  };
}

/** What differs between config and server, in words; empty where nothing does. */
export function differences(wanted: WantedSchedule, found: ScheduleDescription): string[] {
  const action = actionOf(wanted);
  const { spec, policies } = found;
  const pairs: [string, unknown, unknown][] = [
    ['times', [spelt(calendarSpec(wanted.calendar))], (spec.calendars ?? []).map(spelt)],
    ['other times', [0, 0], [spec.intervals?.length ?? 0, spec.skip?.length ?? 0]],
    ['time zone', 'UTC', spec.timezone || 'UTC'],
    ['catch-up window', wanted.catchUpSeconds, Math.round(policies.catchupWindow / 1000)],
    ['overlap', 'SKIP', policies.overlap],
    ['pause on failure', false, policies.pauseOnFailure],
    [
      'workflow',
      [action.workflowType, action.workflowId, action.taskQueue],
      [found.action.workflowType, found.action.workflowId, found.action.taskQueue],
    ],
    ['input', action.args, found.action.args],
  ];
  return pairs.flatMap(([what, here, there]) => {
    const [ours, theirs] = [JSON.stringify(here), JSON.stringify(there)];
    return ours === theirs ? [] : [`${what}: ${theirs} becomes ${ours}`];
  });
}

/** One text for one calendar, so that the server's spelling (end 0, step 0 for one value) makes no difference. */
function spelt(calendar: CalendarSpec): string {
  const parts = ['second', 'minute', 'hour', 'dayOfMonth', 'month', 'dayOfWeek', 'year'] as const;
  return parts.map((part) => asRanges(calendar[part]).join(',') || '*').join(' ');
}

function asRanges(value: CalendarSpec[keyof CalendarSpec]): string[] {
  const ranges = Array.isArray(value) ? value : [];
  return ranges.map((range) => {
    if (typeof range !== 'object') return String(range);
    const end = range.end ?? range.start;
    const step = (range as { step?: number }).step ?? 1;
    return range.start === end ? String(range.start) : `${range.start}-${end}${step > 1 ? `/${step}` : ''}`;
  });
}

function named<T>(range: CalendarRange, name: (value: number) => T): { start: T; end: T; step: number } {
  return { start: name(range.start), end: name(range.end), step: range.step };
}
