import { STALL_SECONDS } from '../domain/operation/retries.js';
import type { WrappedActivity } from './activity-wrapper.js';
import type { HostActivities } from './api.js';
import { actionActivities } from './action/action.js';
import { approvalActivities } from './approval/approvals.js';
import { decisionActivities } from './approval/decisions.js';
import { adoptingActivities } from './backup/adopt.js';
import { backupActivities } from './backup/backup.js';
import { receivingActivities } from './backup/receive-wal.js';
import { rotatingActivities } from './backup/rotate.js';
import { verifyingActivities } from './backup/verify.js';
import type { HostDependencies } from './dependencies.js';
import { stagingChecks } from './drill/check-staging.js';
import { drillPlanning } from './drill/plan-drill.js';
import { registerActivities } from './drill/register.js';
import { dailyCheckActivities } from './inspection/daily-check.js';
import { evidenceActivities } from './drill/seal-evidence.js';
import { signOffActivities } from './drill/sign-off.js';
import { stagingSteps } from './drill/staging-steps.js';
import { grantActivities } from './lock-grant.js';
import { inspectionActivities } from './inspection/inspect.js';
import { watchingActivities } from './inspection/watch.js';
import { mediaActivities, mediaVerifying } from './media/media.js';
import { databaseSteps } from './recovery/database-steps.js';
import { directorySteps } from './recovery/directory-steps.js';
import { finishingActivities } from './recovery/finish.js';
import { hookActivities } from './recovery/hooks.js';
import { planningActivities } from './recovery/plan.js';
import { recoveredMedia } from './recovery/recovered-media.js';
import { serverSteps } from './recovery/server-steps.js';
import { thawingActivities } from './recovery/thaw.js';
import { blastRadiusActivities } from './table/blast-radius.js';
import { comparingActivities } from './table/compare-table.js';
import { holdActivities } from './table/hold.js';
import { migrationIncidentActivities } from './incident/migration.js';
import { tableIncidentActivities } from './table/incident.js';
import { suspicionActivities } from './inspection/table-history.js';
import { locateActivities } from './table/locate.js';
import { repairActivities } from './table/repair.js';
import { instanceActivities } from './temporary/temporary-instance.js';

/** They watch, and return only on a change or after most of an hour: without progress they have not stalled. */
const WATCHING: ReadonlySet<string> = new Set<keyof HostActivities>(['watchCluster', 'receiveWal']);

/**
 * All activities of one host; each of its queues offers them, and workflows choose the queue. `stallSeconds`: without progress for
 * so long, one that is no job has stalled.
 */
export function createHostActivities(deps: HostDependencies, stallSeconds = STALL_SECONDS): HostActivities {
  const activities = Object.entries(allActivities(deps)).map(([name, activity]) => {
    const wrapped = activity as WrappedActivity<never, unknown>;
    return [name, WATCHING.has(name) ? wrapped : (input: never) => wrapped(input, { stallSeconds })] as const;
  });
  return Object.fromEntries(activities) as unknown as HostActivities;
}

function allActivities(deps: HostDependencies): HostActivities {
  return {
    ...actionActivities(deps),
    ...adoptingActivities(deps),
    ...inspectionActivities(deps),
    ...approvalActivities(deps),
    ...backupActivities(deps),
    ...blastRadiusActivities(deps),
    ...comparingActivities(deps),
    ...databaseSteps(deps),
    ...decisionActivities(deps),
    ...directorySteps(deps),
    ...drillPlanning(deps),
    ...evidenceActivities(deps),
    ...finishingActivities(deps),
    ...grantActivities(deps),
    ...holdActivities(deps),
    ...hookActivities(deps),
    ...instanceActivities(deps),
    ...suspicionActivities(deps),
    ...locateActivities(deps),
    ...tableIncidentActivities(deps),
    ...migrationIncidentActivities(deps),
    ...mediaActivities(deps),
    ...mediaVerifying(deps),
    ...planningActivities(deps),
    ...repairActivities(deps),
    ...receivingActivities(deps),
    ...registerActivities(deps),
    ...dailyCheckActivities(deps),
    ...signOffActivities(deps),
    ...stagingChecks(deps),
    ...stagingSteps(deps),
    ...recoveredMedia(deps),
    ...rotatingActivities(deps),
    ...serverSteps(deps),
    ...thawingActivities(deps),
    ...verifyingActivities(deps),
    ...watchingActivities(deps),
  };
}
