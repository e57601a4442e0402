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

/** All activities of one host; each of its queues offers them, and workflows choose the queue. */
export function createHostActivities(deps: HostDependencies): HostActivities {
  return {
    ...actionActivities(deps),
    ...adoptingActivities(deps),
    ...inspectionActivities(deps),
    ...approvalActivities(deps),
    ...backupActivities(deps),
    ...databaseSteps(deps),
    ...decisionActivities(deps),
    ...directorySteps(deps),
    ...finishingActivities(deps),
    ...grantActivities(deps),
    ...hookActivities(deps),
    ...mediaActivities(deps),
    ...mediaVerifying(deps),
    ...planningActivities(deps),
    ...receivingActivities(deps),
    ...recoveredMedia(deps),
    ...rotatingActivities(deps),
    ...serverSteps(deps),
    ...thawingActivities(deps),
    ...verifyingActivities(deps),
    ...watchingActivities(deps),
  };
}
