import { OPEN_EXECUTIONS } from './executions.js';
import type { OperationState } from './status.js';

/** Names that live in Temporal histories and schedules: public API, changed only with `patched` and a replay test. */
export const CONTROL_QUEUE = 'reprise';
/** Light work of a host: reads, hooks, records. */
export const lightQueue = (host: string): string => `reprise-${host}`;
/** Backups and verifications of a host: few slots. */
export const heavyQueue = (host: string): string => `reprise-${host}-heavy`;
/** Recoveries of a host: slots of their own, so that a recovery never waits for a backup. */
export const recoveryQueue = (host: string): string => `reprise-${host}-recovery`;
/** Recoveries of media: they take hours, and no recovery of a database waits for one. */
export const mediaQueue = (host: string): string => `reprise-${host}-media`;
/** The watches of a host: they sit there for hours and take no slot from light work. */
export const watchQueue = (host: string): string => `reprise-${host}-watch`;
/** All queues of a host, the light one first. Its worker polls each of them. */
export const hostQueues = (host: string) =>
  [lightQueue(host), heavyQueue(host), recoveryQueue(host), mediaQueue(host), watchQueue(host)] as const;

export const workflowTypes = {
  backup: 'backup',
  rotate: 'rotate',
  verify: 'verifyBackup',
  adopt: 'adopt',
  recover: 'recover',
  media: 'media',
  /** Something that cannot be undone, approved or confirmed: dropping old data, releasing a hold, settings of a storage. */
  action: 'action',
  verifyMedia: 'verifyMedia',
  drill: 'drill',
  /** Rows of one table are put right by an approved plan. */
  repairTable: 'repairTable',
  /** Writes to one table are blocked by an approved plan, until somebody releases it. */
  holdTable: 'holdTable',
  /** Finds the newest coherent state of a table, and what broke it. */
  locateTable: 'locateTable',
  /** What one transaction did to a table, what came after it, and what each way back would lose. */
  blastRadius: 'blastRadius',
  /** Looks, whatever became of the drill's own schedule, whether the last drill that was due took place. */
  drillOverdue: 'drillOverdue',
  /** A temporary instance that people look at. */
  explore: 'explore',
  /** A table of production against a backup or an instant. */
  compareTable: 'compareTable',
  /** Looks every morning whether schedules fired and backups are fresh, and tells people. */
  dailyCheck: 'dailyCheck',
  incident: 'incident',
  watch: 'watch',
  /** Receives the WAL of one policy, for ever. */
  archive: 'archive',
  lock: 'clusterLock',
  /** Gives out the slots of one kind of a host. */
  slots: 'hostSlots',
  /** One short activity on the host that owns the data, for reads and small writes of the command line. */
  inspect: 'inspect',
  /** Tells people of one thing, beside the work it is about. */
  notify: 'notify',
} as const;

export const signalNames = {
  confirmRestore: 'confirm-restore',
  reject: 'reject',
  pause: 'pause',
  continue: 'continue',
  promote: 'promote',
  retarget: 'retarget',
  confirm: 'confirm',
  dismiss: 'dismiss',
  note: 'note',
  signOff: 'sign-off',
  close: 'close',
  /** A table that is kept frozen. */
  release: 'release',
  clusterAnswers: 'cluster-answers',
  /** Sent by the repair of an incident, when its table may take writes again. */
  repaired: 'repaired',
  /** Sent by the block of writes of an incident, when its table takes none. */
  writesBlocked: 'writes-blocked',
  /** A recovery that was approved waits for the cluster: what only waits for its next attempt ends. */
  makeWay: 'make-way',
  leaseGranted: 'lease-granted',
} as const;

export const updateNames = {
  approve: 'approve',
  reject: 'reject-plan',
  signOff: 'sign-off-drill',
  signOffRepair: 'sign-off-repair',
  promote: 'promote-recovered',
  retarget: 'retarget-recovery',
  pauseWatch: 'pause-watch',
  resumeWatch: 'resume-watch',
  extendInstance: 'extend',
  moveInstance: 'retarget',
  connectInstance: 'connect',
  dropInstance: 'drop',
  /** What a person chose to put right the table of an incident. */
  chooseRepair: 'choose-repair',
  /** The same of a database. */
  chooseRecovery: 'choose-recovery',
  releaseTable: 'release-table',
  acquire: 'acquire',
  release: 'release',
} as const;

export const queryNames = {
  status: 'status',
  plan: 'plan',
  result: 'result',
  holders: 'holders',
  lock: 'lock',
  slot: 'slot',
  instance: 'instance',
  held: 'held',
} as const;

/** Search attributes, all keywords; registered by `reprise up`, `schedule apply` and `worker`. */
export const searchAttributes = { state: 'RepriseState', cluster: 'RepriseCluster', kind: 'RepriseKind' } as const;

/** States in which nothing more happens until a person has decided something, or started or mended something. */
const waitingStates = [
  'waiting-approval',
  'waiting-sign-off',
  'waiting-worker',
  'suspected',
  'paused',
  'cannot-look',
] as const satisfies readonly OperationState[];

/** A query for Temporal's lists: what waits for a person. What has ended keeps its last state, so it is left out by its end. */
export const waitingQuery = `RepriseState IN (${waitingStates.map((state) => `"${state}"`).join(', ')}) AND ${OPEN_EXECUTIONS}`;

export const backupWorkflowId = (cluster: string, policy: string): string => `backup/${cluster}/${policy}`;
export const rotateWorkflowId = (cluster: string, policy: string): string => `rotate/${cluster}/${policy}`;
export const adoptWorkflowId = (cluster: string): string => `adopt/${cluster}`;
export const recoverWorkflowId = (cluster: string, operationId: string): string => `recover/${cluster}/${operationId}`;
export const mediaWorkflowId = (cluster: string, operationId: string): string => `media/${cluster}/${operationId}`;
/** An adoption has one id a cluster, so that two of them never run at once. */
export const actionWorkflowId = (action: string, cluster: string, operationId: string): string =>
  action === 'adopt' ? adoptWorkflowId(cluster) : `${action}/${cluster}/${operationId}`;
export const verifyMediaWorkflowId = (cluster: string, media: string): string => `verify-media/${cluster}/${media}`;
export const drillWorkflowId = (cluster: string, operationId: string): string => `drill/${cluster}/${operationId}`;
export const repairWorkflowId = (cluster: string, operationId: string): string =>
  `table-repair/${cluster}/${operationId}`;
export const holdWorkflowId = (cluster: string, operationId: string): string =>
  `table-freeze/${cluster}/${operationId}`;
export const locateWorkflowId = (cluster: string, operationId: string): string =>
  `table-locate/${cluster}/${operationId}`;
export const blastRadiusWorkflowId = (cluster: string, operationId: string): string =>
  `table-blast-radius/${cluster}/${operationId}`;
export const exploreWorkflowId = (cluster: string, operationId: string): string => `explore/${cluster}/${operationId}`;
export const tableComparisonWorkflowId = (cluster: string, operationId: string): string =>
  `table-compare/${cluster}/${operationId}`;
export const drillOverdueWorkflowId = (cluster: string): string => `drill-overdue/${cluster}`;
export const dailyCheckWorkflowId = (cluster: string): string => `daily-check/${cluster}`;
export const incidentWorkflowId = (cluster: string, scenario: string, operationId: string): string =>
  `incident/${cluster}/${scenario}/${operationId}`;
export const archiveWorkflowId = (cluster: string, policy: string): string => `archive/${cluster}/${policy}`;
export const watchWorkflowId = (cluster: string): string => `watch/${cluster}`;
export const lockWorkflowId = (cluster: string): string => `lock/${cluster}`;
export const slotsWorkflowId = (host: string, kind: string): string => `slots/${host}/${kind}`;
export const scheduleId = (cluster: string, policy: string): string => `reprise/${cluster}/${policy}`;
/** Schedules of drills, among those of policies: no policy of a cluster with drills has these names. */
export const drillSchedules = { drill: 'drill', overdue: 'drill-overdue' } as const;
/** The schedule of the daily check: no policy has this name. */
export const dailyCheckSchedule = 'daily-check';
/** One for each notification: a second start of the same one is refused, so that nobody is told twice. */
export const notifyWorkflowId = (cluster: string | null, operationId: string, key: string): string =>
  `notify/${cluster ?? 'test'}/${operationId}/${key}`;

interface WebUiPlace {
  readonly webUi: string;
  readonly namespace: string;
}

/**
 * Page of one workflow in Temporal's Web UI. With the id of a run it opens the tab that says in words what is done and waited for;
 * without one the Web UI looks for the latest run, and shows its timeline.
 */
export function webUiLink(place: WebUiPlace, workflowId: string, runId?: string): string {
  const page = `${workflowsPage(place)}/${encodeURIComponent(workflowId)}`;
  return runId === undefined ? page : `${page}/${encodeURIComponent(runId)}/user-metadata`;
}

/** The Web UI's list of what waits for a person. */
export function waitingLink(place: WebUiPlace): string {
  return `${workflowsPage(place)}?query=${encodeURIComponent(waitingQuery)}`;
}

function workflowsPage({ webUi, namespace }: WebUiPlace): string {
  return `${webUi.replace(/\/+$/, '')}/namespaces/${encodeURIComponent(namespace)}/workflows`;
}
