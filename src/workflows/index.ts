export { ask } from './ask.js';
export { backup } from './backup.js';
export { incident } from './incident.js';
export { clusterLock } from './lock.js';
export { recover } from './recover.js';
export { rotate } from './rotate.js';
export { verifyBackup } from './verify.js';
export { watch } from './watch.js';
