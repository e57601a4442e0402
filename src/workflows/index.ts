// Workflow types are the names exported here: histories hold them.
export { action } from './operation/action.js';
export { adopt } from './backup/adopt.js';
export { receiveWal as archive } from './backup/receive-wal.js';
export { dailyCheck } from './backup/daily-check.js';
export { drill } from './drill/drill.js';
export { drillOverdue } from './drill/drill-overdue.js';
export { inspect } from './inspect.js';
export { backup } from './backup/backup.js';
export { incident } from './incident/incident.js';
export { clusterLock } from './lock/cluster-lock.js';
export { hostSlots } from './lock/host-slots.js';
export { media } from './media/media.js';
export { notify } from './operation/notify-people.js';
export { recover } from './recovery/recover.js';
export { rotate } from './backup/rotate.js';
export { verifyMedia } from './media/verify-media.js';
export { verifyBackup } from './backup/verify-backup.js';
export { watch } from './incident/watch.js';
