/**
 * Every instant at which a worker is killed, by name. A case is one kill; several kills of one operation run one after
 * another in the same journey, because each costs the heartbeat time-out.
 */
import type { HostDependencies } from '../../src/activities/dependencies.js';
import { locateActivities } from '../../src/activities/table/locate.js';
import { repairActivities } from '../../src/activities/table/repair.js';
import { instanceActivities } from '../../src/activities/temporary/temporary-instance.js';
import type { Policy } from '../helpers/site.js';

export type Stage = 'backup' | 'rotate' | 'recover' | 'drill' | 'repair' | 'explore' | 'locate';

export interface Kill {
  readonly policy: Policy;
  readonly stage: Stage;
  /** As `REPRISE_CRASH_AT` takes it; `OLDEST` and `NEWEST` stand for labels of backups. */
  readonly at: string;
  /** The activity that is tried again: its waits double, so no journey kills it often. */
  readonly activity: string;
  /** Kills of one group exclude each other: the second attempt takes another way. */
  readonly instead?: string;
}

/** One run of all stages on a site, with these kills. */
export interface Journey {
  readonly policy: Policy;
  readonly kills: readonly Kill[];
}

const JOB_POINTS = ['before-record', 'after-record', 'after-spawn', 'after-pid', 'after-exit', 'before-return'];

/** Where the tool of a job may be when its worker dies. A job that was found running is launched no more. */
function aroundJob(policy: Policy, stage: Stage, activity: string, filter: string): Kill[] {
  return JOB_POINTS.map((point) => ({
    ...{ policy, stage, activity, at: `job:${point}@${filter}` },
    ...(point === 'after-spawn' || point === 'after-pid' ? { instead: filter } : {}),
  }));
}

function aroundSteps(policy: Policy, stage: Stage, activities: readonly string[]): Kill[] {
  return activities.flatMap((activity) =>
    ['before', 'after'].map((when) => ({ policy, stage, activity, at: `activity:${activity}:${when}` })),
  );
}

const BACKUP = [
  'describeCluster',
  'acquireLock',
  'preflightBackup',
  'runBackup',
  'proveBackup',
  'rotateBackups',
  'readBackups',
  'releaseLock',
];
const DECIDING = ['planRecovery', 'pin', 'recordApproval', 'recheckPlan', 'journal', 'finishRecovery', 'unpin'];
const DIRECTORY = [
  'stopServer',
  'salvageWal',
  'putAside',
  'restoreFiles',
  'replayWal',
  'runChecks',
  'promoteServer',
  'rearmArchiving',
  'freshBackup',
];
const DATABASES = ['safetyBackup', 'restoreDatabases', 'runChecks', 'swapDatabases', 'freshBackup'];

export const kills: readonly Kill[] = [
  ...aroundSteps('dump', 'backup', BACKUP),
  ...aroundJob('dump', 'backup', 'runBackup', 'pg_dump'),
  ...aroundSteps('dump', 'rotate', ['rotateBackups']),
  ...aroundSteps('dump', 'recover', [...DECIDING, ...DATABASES]),
  ...aroundJob('dump', 'recover', 'restoreDatabases', 'pg_restore'),
  ...aroundJob('dump', 'recover', 'restoreDatabases', 'vacuumdb').filter(({ at }) =>
    /after-spawn|before-return/.test(at),
  ),

  ...aroundSteps('physical', 'backup', ['preflightBackup', 'runBackup', 'proveBackup', 'rotateBackups', 'readBackups']),
  ...aroundJob('physical', 'backup', 'runBackup', 'backup'),
  ...aroundSteps('physical', 'rotate', ['rotateBackups']),
  ...aroundJob('physical', 'rotate', 'rotateBackups', 'expire-OLDEST'),
  ...aroundSteps('physical', 'recover', [...DECIDING, ...DIRECTORY]),
  ...aroundJob('physical', 'recover', 'restoreFiles', 'restore-NEWEST'),
];

/** Of a drill with one engine, from its plan to its empty place. */
const DRILL = [
  'planDrill',
  'wipeStaging',
  'restoreStaging',
  'startStaging',
  'checkStaging',
  'openStaging',
  'recordSignOff',
  'sealEvidence',
  'closeStaging',
];

/** Kills of drills; the tools of their restores have the names that they have in a recovery. */
export const drillKills: readonly Kill[] = (['dump', 'physical'] as const).flatMap((policy) => [
  ...aroundSteps(policy, 'drill', DRILL),
  ...aroundJob(policy, 'drill', 'restoreStaging', policy === 'dump' ? 'pg_restore' : 'restore-NEWEST'),
  // Dumped again and restored once more while it is checked.
  ...aroundJob(policy, 'drill', 'checkStaging', 'pg_dump').filter(({ at }) => /after-spawn|before-return/.test(at)),
]);

/** Names of activities as the code has them now: a step that is added is killed too. A kill of one that an operation has no use for does not happen. */
const namesOf = (activities: (deps: HostDependencies) => object): string[] =>
  Object.keys(activities({} as HostDependencies));

/** Steps of a repair of a table, with those of its temporary instances. */
export const repairSteps: readonly string[] = [
  ...namesOf(instanceActivities),
  ...namesOf(repairActivities),
  ...['recordApproval', 'acquireLock', 'runHook', 'undoHook', 'releaseLock'],
];
/** Between a change of the database and its record on the host: `src/activities/table`. */
const REPAIR_POINTS: Readonly<Record<string, readonly string[]>> = {
  applyRepair: ['repair:login', 'repair:copying', 'repair:noted@0', 'repair:committed@0', 'repair:recorded'],
  freezeTable: ['freeze:noted', 'freeze:frozen'],
  unfreezeTable: ['freeze:opened'],
};

/** Kills of repairs: of one transaction, found in the WAL, and of all rows by a dump, in batches. */
export const repairKills: readonly Kill[] = (['physical', 'dump'] as const).flatMap((policy) => [
  ...aroundSteps(policy, 'repair', repairSteps),
  ...Object.entries(REPAIR_POINTS).flatMap(([activity, points]) =>
    points.map((at) => ({ policy, stage: 'repair' as const, activity, at })),
  ),
  // A later batch: what was committed before it stays, and is not done twice.
  ...(policy === 'dump' ? ['repair:noted@2', 'repair:committed@2'] : []).map((at) => ({
    ...{ policy, stage: 'repair' as const, activity: 'applyRepair', at },
  })),
  ...aroundJob(policy, 'repair', 'openInstance', policy === 'dump' ? 'pg_restore' : 'restore-NEWEST').filter(({ at }) =>
    /after-pid|before-return/.test(at),
  ),
]);

/** Kills of what people look at, and of a search: both change nothing. */
export const exploreKills: readonly Kill[] = (['physical', 'dump'] as const).flatMap((policy) =>
  aroundSteps(policy, 'explore', namesOf(instanceActivities)),
);
export const locateKills: readonly Kill[] = aroundSteps('physical', 'locate', [
  ...namesOf(instanceActivities),
  ...namesOf(locateActivities),
]);

const MOST_PER_ACTIVITY = 2;
const MOST_PER_JOURNEY = 16;

/** Spreads kills over as few journeys of a policy as their exclusions allow, evenly. */
export function journeysOf(policy: Policy, some: readonly Kill[] = kills): Journey[] {
  const mine = some.filter((kill) => kill.policy === policy);
  const journeys: Kill[][] = [];
  for (const kill of mine) {
    const open = journeys.filter((journey) => fits(journey, kill)).toSorted((a, b) => a.length - b.length);
    const [emptiest] = open;
    if (emptiest === undefined) journeys.push([kill]);
    else emptiest.push(kill);
  }
  return journeys.map((found) => ({ policy, kills: found }));
}

function fits(journey: readonly Kill[], kill: Kill): boolean {
  if (journey.length >= MOST_PER_JOURNEY) return false;
  const same = journey.filter((other) => other.stage === kill.stage && other.activity === kill.activity);
  return (
    same.length < MOST_PER_ACTIVITY &&
    !same.some((other) => kill.instead !== undefined && other.instead === kill.instead)
  );
}
