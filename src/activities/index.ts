import { adoptingActivities } from './backup/adopt.js';
import { inspectionActivities } from './inspection/inspect.js';
import type { HostActivities } from './api.js';
import { approvalActivities } from './recovery/approvals.js';
import { backupActivities } from './backup/backups.js';
import { databaseSteps } from './recovery/database-steps.js';
import { decisionActivities } from './recovery/decisions.js';
import type { HostDependencies } from './dependencies.js';
import { directorySteps } from './recovery/directory-steps.js';
import { finishingActivities } from './recovery/finish.js';
import { hookActivities } from './recovery/hooks.js';
import { mediaActivities } from './media/media.js';
import { mediaVerifying } from './media/verify.js';
import { planningActivities } from './recovery/plan.js';
import { recoveredMedia } from './recovery/recovered-media.js';
import { receivingActivities } from './backup/receive-wal.js';
import { serverSteps } from './recovery/server-steps.js';
import { thawingActivities } from './recovery/thaw.js';
import { watchActivities } from './inspection/watch.js';

/** All activities of one host; each of its queues offers them, and workflows choose the queue. */
export function createHostActivities(deps: HostDependencies): HostActivities {
  return {
    ...adoptingActivities(deps),
    ...inspectionActivities(deps),
    ...approvalActivities(deps),
    ...backupActivities(deps),
    ...databaseSteps(deps),
    ...decisionActivities(deps),
    ...directorySteps(deps),
    ...finishingActivities(deps),
    ...hookActivities(deps),
    ...mediaActivities(deps),
    ...mediaVerifying(deps),
    ...planningActivities(deps),
    ...receivingActivities(deps),
    ...recoveredMedia(deps),
    ...serverSteps(deps),
    ...thawingActivities(deps),
    ...watchActivities(deps),
  };
}
