import type { ScheduleDescription, ScheduleUpdateOptions } from '@temporalio/client';
import { hostname } from 'node:os';
import type { Config } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import { scheduleId } from '../../domain/operation/names.js';
import type { TemporalSession } from '../connect.js';
import { actionOf, differences, type WantedSchedule } from './schedule-differences.js';

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

/** Schedules of all enabled policies that have one. */
export async function wantedSchedules(config: Config): Promise<readonly WantedSchedule[]> {
  // Croner is loaded with it, and the command line starts without it.
  const { calendarSpec } = await import('./calendar.js');
  return Object.values(config.clusters).flatMap((cluster) =>
    Object.values(cluster.policies).flatMap(({ name: policy, schedule, enabled }) => {
      if (schedule === undefined || !enabled) return [];
      const id = scheduleId(cluster.name, policy);
      return [{ id, cluster: cluster.name, policy, calendar: calendarSpec(schedule.cron), ...schedule }];
    }),
  );
}

/** Compares config and server; changes nothing. */
export async function planSchedules(session: TemporalSession, config: Config): Promise<readonly ScheduleChange[]> {
  const wanted = await wantedSchedules(config);
  const found = await describeAll(
    session,
    wanted.map(({ id }) => id),
  );
  const changes: ScheduleChange[] = wanted.map((one) => compare(one, found.get(one.id)));
  for (const [id, description] of found) {
    if (!wanted.some((one) => one.id === id)) changes.push(changeOfUnwanted(id, markOf(description), config));
  }
  return changes;
}

/**
 * Makes the server's schedules those of the config: creates, updates (keeping an operator's pause), deletes those of
 * ours that the config no longer has, and touches nothing else.
 */
export async function applySchedules(session: TemporalSession, config: Config): Promise<readonly ScheduleChange[]> {
  const changes = await planSchedules(session, config);
  const wanted = new Map((await wantedSchedules(config)).map((one) => [one.id, one]));
  for (const { id, action } of changes) {
    const one = wanted.get(id);
    if (action === 'delete') await session.client.schedule.getHandle(id).delete();
    else if (action === 'create' && one !== undefined) await create(session, config, one);
    else if (action === 'update' && one !== undefined) await update(session, one);
  }
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

function settingsOf(wanted: WantedSchedule) {
  return {
    spec: { calendars: [wanted.calendar], timezone: wanted.timezone ?? 'UTC' },
    action: actionOf(wanted),
    policies: { overlap: 'SKIP' as const, catchupWindow: wanted.catchUpSeconds * 1000 },
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

/** Wanted ones by name, and whatever else is below `reprise/`. A list alone is not enough: it lags behind. */
async function describeAll(
  session: TemporalSession,
  wanted: readonly string[],
): Promise<Map<string, ScheduleDescription>> {
  const ids = new Set(wanted);
  for await (const { scheduleId: id } of session.client.schedule.list()) {
    if (id.startsWith('reprise/')) ids.add(id);
  }
  const found = new Map<string, ScheduleDescription>();
  for (const id of ids) {
    const description = await describeIfThere(session, id);
    if (description !== undefined) found.set(id, description);
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
