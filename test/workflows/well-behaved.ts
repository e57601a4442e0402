import type { Activities } from './lab.js';
import { HOST, untilCancelled } from './lab.js';
import { entryFor, drillOutcomeOf, drillPlanOf, passedCheck, restoredOf } from './drills.js';
import { openedInstanceOf, plannedInstanceOf } from './instances.js';
import {
  holdPlanOf,
  migrationFindings,
  migrationTime,
  repairOutcome,
  repairPlanOf,
  tableSurvey,
  tableSuspects,
} from './repairs.js';
import { backupFacts, samplePlan } from '../unit/records/samples.js';
import type { MediaRequest } from '../../src/activities/api.js';
import type { ActionBinding, ActionPlan } from '../../src/domain/approval/actions.js';
import type { MediaBinding, MediaPlan } from '../../src/domain/media/media.js';
import { planDigest } from '../../src/records/digest.js';
import type { RepairOrder } from '../../src/domain/operation/orders.js';
import type { Plan, PlanBinding } from '../../src/domain/plan/plan.js';

/** Bodies of activities that do nothing and succeed. */
export const wellBehaved: Activities = {
  describeCluster: async () => ({
    host: HOST,
    configDigest: 'config',
    policies: { nightly: { engine: 'logical', repository: 'local', enabled: true, proof: 'verify' } },
  }),
  hostsOf: async () => [HOST],
  acquireSlot: async () => ({ granted: true, token: 1 }),
  releaseSlot: async () => undefined,
  slotHolders: async () => ({ held: [], waiting: [], silent: [] }),
  acquireLock: async () => ({ granted: true, token: 1 }),
  releaseLock: async () => undefined,
  lockedOperations: async () => ({ held: [], waiting: [], silent: [] }),
  isScheduled: async () => true,
  lookAtSchedules: async () => [],
  awaitClosed: () => untilCancelled(),
  lastDrillDue: async () => null,
  workflowIsOpen: async () => true,
  recoveryHolds: async () => false,
  hostAnswers: async () => true,
  deliveriesOf: async () => [{ notifier: 'mail', first: ['dba'], others: [] }],
  sendNotice: async ({ delivery }) => ({
    told: [...delivery.first, ...delivery.others],
    notTold: [],
    refused: 0,
    detail: 'taken',
  }),

  findTransaction: async () => ({ committedAt: '2026-11-21T02:00:00.000Z', rows: 3, exact: true }),
  collectRows: async () => ({ exact: true }),
  planRepair: async (request) => repairPlanOf(request),
  recheckRepair: async ({ plan }) => ({ digest: plan, changed: [] }),
  freezeTable: async () => undefined,
  unfreezeTable: async () => undefined,
  applyRepair: async () => ({ insert: 2, update: 1, delete: 0, conflicts: 0 }),
  checkRepair: async () => repairOutcome,
  recordRepairSignOff: async () => ({ accepted: true, missing: 0 }),
  recordTableCount: async ({ after }) => ({
    ...{ after, at: '2026-11-21T02:31:00.000Z', rows: 12, change: 0, since: 'the repair', suspicion: null },
  }),
  finishRepair: async () => repairOutcome,
  closeRepair: async () => null,

  openTableIncident: async () => undefined,
  surveyTable: async () => tableSurvey,
  findSuspects: async () => tableSuspects,
  readRepairChoice: async ({ choice }) => choice as RepairOrder,
  writeTableReport: async () => 'incidents/op.md',

  findMigration: async () => migrationTime,
  compareMigration: async () => migrationFindings,
  findMigrationTransactions: async ({ from }) => ({ from, to: from, transactions: [], problem: null }),
  readMigrationChoice: async ({ choice }) => choice as RepairOrder,
  writeMigrationReport: async () => 'incidents/op.md',

  planHold: async (request) => holdPlanOf(request),
  recheckHold: async ({ plan }) => ({ digest: plan }),
  closeHold: async () => undefined,

  planLocate: async () => ({ backups: [], walPolicy: null, now: null }),
  suspectTables: async () => ({ tables: [], more: 0 }),
  probeTable: async () => ({ holds: true, figure: '3 rows' }),
  findCommits: async () => ({ total: 0, stops: [], notes: [] }),

  followRows: async () => ({
    transaction: null,
    later: {
      ...{ followed: 3, rows: 1, transactions: [], more: 0, atLeast: false, missing: [] },
      table: { transactions: 1, inserted: 0, updated: 1, deleted: 0 },
      database: { transactions: 2, inserted: 1, updated: 1, deleted: 0 },
    },
    notes: [],
  }),
  weighDamage: async () => ({
    undo: {
      changes: { insert: 2, update: 1, delete: 0, conflicts: 1 },
      reasons: { 'changed-since': 1 },
      because: null,
    },
    ...{ references: [], notes: [], file: '/var/lib/reprise/compared/1.json', fileUntil: '2026-11-28T02:00:00.000Z' },
  }),

  confirmWorker: async () => undefined,
  answer: async () => ({ backups: [] }),
  journal: async () => undefined,
  recordIncident: async () => undefined,
  recordSkipped: async () => undefined,
  recordFailed: async () => undefined,

  watchCluster: async () => null,
  receiveWal: async () => undefined,
  diagnose: async () => ({
    answers: false,
    layer: 'port',
    reason: 'refused',
    dataDirectory: 'damaged',
    walReadable: true,
  }),

  releaseGrant: async () => undefined,
  describeLock: async () => ({ active: [], lastToken: 0 }),

  preflightBackup: async () => [],
  runBackup: async () => ['b1'],
  proveBackup: async () => ({ ok: true, detail: 'read whole' }),
  surveyAdoption: async () => ({
    policies: ['nightly'],
    adopt: [
      { name: 'old.dump', policy: 'nightly', database: 'mairie', startedAt: '2026-11-01T01:30:00Z', sizeBytes: 10 },
    ],
    refused: [],
    known: 0,
  }),
  adoptBackups: async ({ order: { policy } }) => ({
    adopted: [{ id: `b-${policy}`, from: 'old.dump', proven: true, detail: 'read whole' }],
    refused: [],
    known: 0,
  }),
  readBackups: async ({ backupIds }) =>
    backupIds.map((id) => ({ ...backupFacts(id), id, proven: null, heldUntil: null, status: 'complete' })),
  rotateBackups: async () => ({ keep: [], remove: [{ id: 'b0', reason: 'too old' }], removed: ['b0'] }),

  planRecovery: async ({ cluster, operationId }) => planOf({ cluster, operationId }),
  recheckPlan: async ({ plan }) => ({ digest: plan, changed: [] }),
  pin: async () => undefined,
  unpin: async () => undefined,
  recordApproval: async () => ({ accepted: true, missing: 0 }),
  recordDecision: async () => ({ accepted: true, missing: 0 }),
  recordRejection: async () => undefined,

  requestThaw: async () => undefined,
  lookAtThaw: async () => ({ objects: 0, bytes: 0 }),
  runHook: async () => undefined,
  undoHook: async () => undefined,
  safetyBackup: async () => 'saved as b1',
  stopServer: async () => undefined,
  startServer: async () => reached,
  salvageWal: async () => ({ segments: 2, endLsn: '0/5000000', lastCommitAt: '2026-11-21T02:00:00Z' }),
  putAside: async () => undefined,
  restoreFiles: async () => undefined,
  replayWal: async () => reached,
  promoteServer: async () => ({ timeline: 2, repaired: [] }),
  rearmArchiving: async () => undefined,
  restoreMedia: async () => undefined,
  restoreDatabases: async () => reached,
  swapDatabases: async () => undefined,
  runChecks: async () => [{ name: 'tables', status: 'passed', detail: '12' }],
  freshBackup: async () => ['b2'],
  finishRecovery: async () => outcomeOfHost,
  writeReport: async () => 'incidents/op.md',

  planDrill: async (request) => drillPlanOf(request),
  wipeStaging: async () => undefined,
  restoreStaging: async () => undefined,
  startStaging: async () => restoredOf('physical'),
  checkStaging: async () => [passedCheck('physical')],
  crossCheck: async () => [],
  openStaging: async () => ({ connection: 'host=staging1 port=5433' }),
  recordSignOff: async () => ({ accepted: true, missing: 0 }),
  sealEvidence: async (step) => drillOutcomeOf(step),
  closeStaging: async () => undefined,
  recordUnplannedDrill: async ({ cluster }) => entryFor(cluster),
  recordOverdueDrill: async () => null,
  recordDailyCheck: async () => ({ open: [], told: [], over: [] }),

  planInstance: async (request) => plannedInstanceOf(request),
  openInstance: async (step) => openedInstanceOf(step),
  moveInstance: async ({ target, ...step }) => openedInstanceOf(step, target),
  extendInstance: async ({ until }) => ({ expiresAt: until }),
  closeInstance: async () => undefined,

  planAction: async (request) => actionPlanOf(request),
  recheckAction: async ({ plan }) => ({ digest: plan }),
  applyAction: async () => ({ dropped: [] }),
  closeAction: async () => undefined,

  planMedia: async (request) => mediaPlanOf(request),
  recheckMedia: async ({ plan }) => ({ digest: plan }),
  applyMedia: async () => undefined,
  finishMedia: async (step) => ({
    done: mediaPlanOf({ ...step, requester: 'test', order: { media: 'photos', task: someTask } }).binding.counts,
    untouched: { right: nothing, keep: nothing },
    left: 0,
    report: 'incidents/op.md',
  }),
  closeMedia: async () => undefined,
  compareTable: async ({ order: { database, table } }) => ({
    ...{ database, table, schema: [], key: ['id'], columns: ['id'], missing: 1, changed: 2, extra: 3, same: 4 },
    ...{ changedColumns: {}, seconds: 5, file: '/state/compared/x.json', fileUntil: '2027-01-01T00:00:00.000Z' },
  }),
  verifyMedia: async () => ({ objects: 1, bytes: 2, read: 1, unchecked: 0, decoded: 0, problems: 0, samples: [] }),
};

/** A plan of an act that cannot be undone; `approvers: 0`: no policy asks for an approval. */
export function actionPlanOf(
  {
    cluster,
    operationId,
    requester,
    order,
  }: Pick<Parameters<Activities['planAction']>[0], 'order' | 'requester'> & {
    readonly cluster: string;
    readonly operationId: string;
  },
  { approvers = 0, found = {}, targetHost = HOST, configDigest = 'config' } = {},
): ActionPlan {
  const binding: ActionBinding = {
    action: order.kind,
    operationId,
    cluster,
    targetHost,
    subject: 'subject',
    order,
    found: { policies: ['nightly'], names: { nightly: ['old.dump'] }, unlisted: 0, ...found },
    configDigest,
    requester,
  };
  const createdAt = new Date().toISOString();
  return {
    digest: planDigest(binding),
    binding,
    observed: { facts: [], approval: approvers === 0 ? null : { approvers, from: ['dba'] }, empty: false },
    createdAt,
    approveBy: new Date(Date.now() + 3_600_000).toISOString(),
  };
}
/** What the host's ledger gives, whatever the workflow did. */
export const outcomeOfHost = {
  target: { requested: 'latest', reached: 'the end of the WAL' },
  rtoSeconds: 12,
  waitedForPeopleSeconds: 3,
  rpoSeconds: 0,
  lastCommitAt: '2026-11-21T02:00:00Z',
  lastLsn: '0/5000000',
  phases: [{ name: 'restore files', seconds: 5 }],
  checks: [{ name: 'tables', status: 'passed', detail: '12' }],
  report: 'incidents/op.md',
} as const;

const nothing = { objects: 0, bytes: 0 };
const someTask = { kind: 'recover', to: '2026-11-21T02:15:00.000Z', later: 'keep' } as const;

/** A plan of media with one object to undelete and its true digest; `approvers: 0` for one that no policy asks to approve. */
export function mediaPlanOf(
  {
    cluster,
    operationId,
    requester,
    order: { media, task },
  }: Pick<MediaRequest, 'cluster' | 'operationId' | 'requester' | 'order'>,
  { undelete = 1, approvers = 1 } = {},
): MediaPlan {
  const place = { repository: 'offsite', folder: 'photos/' };
  const binding: MediaBinding = {
    ...{
      action: `media-${task.kind}`,
      operationId,
      cluster,
      media,
      task,
      targetHost: HOST,
      configDigest: 'config',
      requester,
      from: place,
      into: place,
    },
    counts: { undelete: { objects: undelete, bytes: 5 }, overwrite: nothing, copy: nothing, remove: nothing },
    changes: 'changes',
  };
  const approval = approvers === 0 ? null : { approvers, from: ['dba'] };
  return {
    digest: planDigest(binding),
    binding,
    observed: { untouched: { right: nothing, keep: nothing }, samples: [], approval, warnings: [] },
    createdAt: '2026-11-21T02:20:00.000Z',
    approveBy: '2126-11-21T06:20:00.000Z',
  };
}

const reached = {
  reached: 'the end of the WAL',
  lastLsn: '0/5000000',
  lastCommitAt: '2026-11-21T02:00:00Z',
  complete: true,
} as const;

/** A plan as the host would make it, with its true digest. */
export function planOf(binding: Partial<PlanBinding>): Plan {
  return samplePlan({
    steps: ['stop-applications', 'safety-backup', 'restore', 'run-checks', 'start-applications'],
    hooks: [],
    ...binding,
  });
}
