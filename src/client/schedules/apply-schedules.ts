import type { ScheduleDescription, ScheduleSummary, ScheduleUpdateOptions } from '@temporalio/client';
import { createHash } from 'node:crypto';
import { hostname } from 'node:os';
import type { Config, ScheduleConfig } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import { dailyCheckSchedule, drillSchedules, scheduleId } from '../../domain/operation/names.js';
import { schedulesOf } from '../../domain/operation/schedules.js';
import { canonicalJson } from '../../domain/text/canonical-json.js';
import type { TemporalSession } from '../connect.js';
import { manyAtOnce, type Report } from '../many-at-once.js';
import { actionOf, differences, spelt, type WantedSchedule } from './schedule-differences.js';

/** So many schedules are asked for one by one: a second or two of a server on two cores. */
export const ASKED_EACH = 100;

/** What would be, or was, done to one schedule. */
export interface ScheduleChange {
  readonly id: string;
  readonly action: 'create' | 'update' | 'delete' | 'none' | 'leave';
  /** Why, in words; for an update what differs. */
  readonly reasons: readonly string[];
}

/** Marks what is ours: a schedule without it is never touched. */
interface Mark {
  readonly owner: string;
  readonly cluster: string;
  readonly policy: string;
}

/** Schedules of all clusters. */
export async function wantedSchedules(config: Config): Promise<readonly WantedSchedule[]> {
  // Croner is loaded with it, and the command line starts without it.
  const { calendarSpec } = await import('./calendar.js');
  return Object.values(config.clusters).flatMap((cluster) =>
    schedulesOf(config, cluster).map(({ policy, starts, schedule }) => ({
      ...{ id: scheduleId(cluster.name, policy), cluster: cluster.name, policy, starts },
      ...{ calendar: calendarSpec(schedule.cron), ...schedule },
    })),
  );
}

/** When a schedule of a cluster is due; undefined where the configuration has none. */
export function scheduleOf(config: Config, cluster: string, policy: string): ScheduleConfig | undefined {
  const known = config.clusters[cluster];
  if (known === undefined) return undefined;
  const [found] = schedulesOf(config, known).filter((one) => one.policy === policy);
  return found?.schedule ?? known.policies[policy]?.schedule;
}

/**
 * Compares config and server; changes nothing. Each schedule is asked for, up to {@link ASKED_EACH} of them: with more, those
 * that the server's list shows as they were applied are left alone, so what somebody has changed by hand is found only in
 * their times and their type.
 */
export async function planSchedules(session: TemporalSession, config: Config): Promise<readonly ScheduleChange[]> {
  const wanted = new Map((await wantedSchedules(config)).map((one) => [one.id, one]));
  const listed = await ownSchedules(session);
  // A list alone is not enough: it lags behind.
  const ids = [...new Set([...wanted.keys(), ...listed.keys()])];
  const trusted = (id: string): boolean => {
    const [one, summary] = [wanted.get(id), listed.get(id)];
    return ids.length > ASKED_EACH && one !== undefined && summary !== undefined && isAsApplied(one, summary);
  };
  const changes = await manyAtOnce(ids, async (id): Promise<ScheduleChange | null> => {
    if (trusted(id)) return { id, action: 'none', reasons: [] };
    const description = await describeIfThere(session, id);
    const one = wanted.get(id);
    if (one !== undefined) return compare(one, description);
    return description === undefined ? null : changeOfUnwanted(id, markOf(description), config);
  });
  return changes.filter((change) => change !== null);
}

/** Whether the list shows a schedule of ours with the settings that were applied last, which are those wanted. */
function isAsApplied(wanted: WantedSchedule, { memo, spec, action }: ScheduleSummary): boolean {
  const own = settingsOf(wanted);
  const [calendar, ...others] = spec?.calendars ?? [];
  return (
    markOf({ memo }) !== undefined &&
    others.length === 0 &&
    calendar?.comment === own.spec.calendars[0]?.comment &&
    spelt(calendar ?? {}) === spelt(wanted.calendar) &&
    action?.workflowType === own.action.workflowType
  );
}

/**
 * Makes the server's schedules those of the config: creates, updates (keeping an operator's pause), deletes those of
 * ours that the config no longer has, and touches nothing else.
 */
export async function applySchedules(
  session: TemporalSession,
  config: Config,
  report?: Report,
): Promise<readonly ScheduleChange[]> {
  const changes = await planSchedules(session, config);
  const wanted = new Map((await wantedSchedules(config)).map((one) => [one.id, one]));
  await manyAtOnce(
    changes.filter(({ action }) => action !== 'none' && action !== 'leave'),
    async ({ id, action }) => {
      const one = wanted.get(id);
      if (action === 'delete') await session.client.schedule.getHandle(id).delete();
      else if (action === 'create' && one !== undefined) await create(session, config, one);
      else if (action === 'update' && one !== undefined) await update(session, one);
    },
    report,
  );
  return changes;
}

async function create(session: TemporalSession, config: Config, wanted: WantedSchedule): Promise<void> {
  const mark: Mark = { owner: ownerOf(config), cluster: wanted.cluster, policy: wanted.policy };
  try {
    await session.client.schedule.create({ scheduleId: wanted.id, ...settingsOf(wanted), memo: { reprise: mark } });
  } catch (error) {
    // Another person applied at the same moment: it only has to be as the config says.
    if (!(error instanceof Error) || error.name !== 'ScheduleAlreadyRunning') throw error;
    await update(session, wanted);
  }
}

async function update(session: TemporalSession, wanted: WantedSchedule): Promise<void> {
  await session.client.schedule.getHandle(wanted.id).update((previous) => {
    if (markOf(previous) === undefined) {
      throw new RepriseError(
        'conflict',
        `the schedule ${wanted.id} was not made by reprise`,
        'rename or delete it, then apply again',
      );
    }
    // The state is the operator's: pause, note, remaining actions.
    return { ...settingsOf(wanted), state: previous.state } as ScheduleUpdateOptions;
  });
}

/** With a digest of them all, which the server's list shows: comments of a calendar are free text. */
function settingsOf(wanted: WantedSchedule) {
  const action = actionOf(wanted);
  const policies = { overlap: 'SKIP' as const, catchupWindow: wanted.catchUpSeconds * 1000 };
  const { cluster: _cluster, policy: _policy, starts: _starts, ...settings } = wanted;
  const digest = createHash('sha256').update(canonicalJson({ settings, action, policies })).digest('hex').slice(0, 16);
  return {
    spec: {
      calendars: [{ ...wanted.calendar, comment: `as configured: ${digest}` }],
      timezone: wanted.timezone ?? 'UTC',
    },
    action,
    policies,
  };
}

function compare(wanted: WantedSchedule, found: ScheduleDescription | undefined): ScheduleChange {
  if (found === undefined) return { id: wanted.id, action: 'create', reasons: ['new in the config'] };
  if (markOf(found) === undefined) {
    return { id: wanted.id, action: 'leave', reasons: ['not made by reprise: rename or delete it, then apply again'] };
  }
  const reasons = differences(wanted, found);
  return { id: wanted.id, action: reasons.length > 0 ? 'update' : 'none', reasons };
}

function changeOfUnwanted(id: string, mark: Mark | undefined, config: Config): ScheduleChange {
  if (mark === undefined) return { id, action: 'leave', reasons: ['not made by reprise'] };
  const cluster = config.clusters[mark.cluster];
  const policy = cluster?.policies[mark.policy];
  if (cluster !== undefined && policy === undefined && Object.values<string>(drillSchedules).includes(mark.policy))
    return { id, action: 'delete', reasons: ['the cluster has no drills any more'] };
  if (cluster !== undefined && policy === undefined && mark.policy === dailyCheckSchedule)
    return { id, action: 'delete', reasons: ['nothing of the cluster is scheduled, or nobody is told of anything'] };
  if (policy !== undefined) {
    return {
      id,
      action: 'delete',
      reasons: [policy.enabled ? 'the policy has no schedule any more' : 'the policy is disabled (enabled: false)'],
    };
  }
  // Another configuration may share this namespace: what it made is its own business.
  if (cluster === undefined && mark.owner !== ownerOf(config)) {
    return { id, action: 'leave', reasons: [`made from another configuration: ${mark.owner}`] };
  }
  return { id, action: 'delete', reasons: ['no longer in the config'] };
}

/** All that are below `reprise/`, as far as the server's list has them: it lags behind. */
export async function ownSchedules(session: TemporalSession): Promise<ReadonlyMap<string, ScheduleSummary>> {
  const found = new Map<string, ScheduleSummary>();
  for await (const summary of session.client.schedule.list({ pageSize: 1000 })) {
    if (summary.scheduleId.startsWith('reprise/')) found.set(summary.scheduleId, summary);
  }
  return found;
}

export async function describeIfThere(session: TemporalSession, id: string): Promise<ScheduleDescription | undefined> {
  try {
    return await session.client.schedule.getHandle(id).describe();
  } catch (error) {
    if (error instanceof Error && error.name === 'ScheduleNotFoundError') return undefined;
    throw error;
  }
}

export function markOf(description: Pick<ScheduleDescription, 'memo'>): Mark | undefined {
  const mark = description.memo?.['reprise'] as Partial<Mark> | undefined;
  return typeof mark?.owner === 'string' && typeof mark.cluster === 'string' ? (mark as Mark) : undefined;
}

/** Where a configuration lives, so that two of them on one server keep apart. */
export function ownerOf(config: Config): string {
  return `${hostname()}:${config.file}`;
}
