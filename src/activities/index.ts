import { adoptingActivities } from './adopting.js';
import { answeringActivities } from './answering.js';
import type { HostActivities } from './api.js';
import { approvalActivities } from './approvals.js';
import { backupActivities } from './backups.js';
import { databaseSteps } from './database-steps.js';
import { decisionActivities } from './decisions.js';
import type { HostDependencies } from './dependencies.js';
import { directorySteps } from './directory-steps.js';
import { finishingActivities } from './finishing.js';
import { mediaActivities } from './media.js';
import { mediaVerifying } from './media-verify.js';
import { planningActivities } from './planning.js';
import { recoveredMedia } from './recovered-media.js';
import { receivingActivities } from './receiving.js';
import { serverSteps } from './server-steps.js';
import { thawingActivities } from './thawing.js';
import { watchActivities } from './watching.js';

/** All activities of one host; each of its queues offers them, and workflows choose the queue. */
export function createHostActivities(deps: HostDependencies): HostActivities {
  return {
    ...adoptingActivities(deps),
    ...answeringActivities(deps),
    ...approvalActivities(deps),
    ...backupActivities(deps),
    ...databaseSteps(deps),
    ...decisionActivities(deps),
    ...directorySteps(deps),
    ...finishingActivities(deps),
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
