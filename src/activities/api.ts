// Longer than 400 lines: the one list of what workflows may ask of a worker.
import type { AdoptOutput, AdoptionPreview } from '../domain/backup/adoption.js';
import type { Backup, FailedPart } from '../domain/backup/backup.js';
import type { DailyCheck } from '../domain/backup/daily-check.js';
import type { ActionOutcome, ActionPlan } from '../domain/approval/actions.js';
import type {
  DrillCheck,
  DrillOutcome,
  DrillPlan,
  DrillRestored,
  RegisterEntry,
  SignOff,
} from '../domain/drill/drill.js';
import type { DrillEnding } from '../domain/drill/verdict.js';
import type { OpenedInstance, PlannedInstance } from '../domain/explore/instance.js';
import type { ErrorCode } from '../domain/errors.js';
import type { Finding } from '../domain/findings.js';
import type { Approval, Decision, NothingToDo, Plan, RecoveryMethod, SentBy } from '../domain/plan/plan.js';
import type { MigrationFindings, MigrationTime } from '../domain/incident/migration.js';
import type { LockKnowledge } from '../domain/operation/lock-grants.js';
import type { Held, LeaseClaim, LeaseOwner } from '../domain/operation/lease.js';
import type { HostSlot, SlotAnswer, SlotClaim } from '../domain/operation/slots.js';
import type { LockAnswer, LockGrant, OwnedClaim } from '../domain/operation/locks.js';
import type { MediaOutcome, MediaPlan, MediaVerdict } from '../domain/media/media.js';
import type { CheckResult, ReachedTarget, StoppedServer } from '../domain/operation/step-events.js';
import type { Notice, NotifyEvent } from '../domain/notification/notices.js';
import type { Diagnosis, Inspection } from '../domain/operation/inspections.js';
import type {
  ActionOrder,
  AdoptionOrder,
  BackupOrder,
  ComparisonOrder,
  DrillOrder,
  HoldOrder,
  InstanceOrder,
  BlastRadiusOrder,
  LocateOrder,
  MediaOrder,
  MediaVerificationOrder,
  MigrationIncidentOrder,
  PolicyAdoptionOrder,
  RecoveryOrder,
  RepairOrder,
  RotationOrder,
  TableIncidentOrder,
  VerificationOrder,
} from '../domain/operation/orders.js';
import type { Delivery } from '../domain/notification/recipients.js';
import type { RecoveryOutcome } from '../domain/backup/records.js';
import type { StepLimits } from '../domain/operation/retries.js';
import type { RotateOutput } from '../domain/retention/retention.js';
import type { BlastRadius } from '../domain/table/blast-radius.js';
import type { TableComparison } from '../domain/table/compare.js';
import type { TableSuspicion } from '../domain/table/history.js';
import type { HoldPlan } from '../domain/table/hold.js';
import type { TableSurvey, Suspects } from '../domain/table/incident.js';
import type { LocatePlan, LocateStops, TableState } from '../domain/table/locate.js';
import type { ChangeCounts, RepairIncident, RepairOutcome, RepairPlan, TableCount } from '../domain/table/repair.js';
import type { RecoveryTarget } from '../domain/target/target.js';

export type { CheckResult, ReachedTarget } from '../domain/operation/step-events.js';

/** What workflows need to know of a cluster to choose queues and steps; from the control worker's config. */
export interface ClusterFacts {
  readonly host: string;
  /** Hosts of places to recover into that are not the cluster's own, by name. */
  readonly targetHosts?: Readonly<Record<string, string>>;
  readonly configDigest: string;
  readonly policies: Readonly<Record<string, PolicyFacts>>;
  /** Seconds without a heartbeat after which a host's worker counts as lost, where its config says so; by host. */
  readonly heartbeatSeconds?: Readonly<Record<string, number>>;
  /** How long these hosts' failing steps are tried again, where their config says so; by host. */
  readonly stepLimits?: Readonly<Record<string, StepLimits>>;
  /** The same for watches and WAL receivers on the cluster's own host. */
  readonly watchHeartbeatSeconds?: number;
  /** Events that somebody is told of; absent in histories from before there were notifications. */
  readonly tells?: readonly NotifyEvent[];
  /** Rows that backups recorded are compared with those of earlier ones; absent in histories from before that. */
  readonly suspects?: true;
  /** Absent: the cluster has no drills. */
  readonly drill?: DrillFacts;
}
export interface DrillFacts {
  /** The staging host. */
  readonly host: string;
  /** Who signs off, by contact, and for how long they are waited for; absent: nobody is asked. */
  readonly signOff?: { readonly by: readonly string[]; readonly withinSeconds: number };
}
export interface PolicyFacts {
  readonly engine: string;
  readonly repository: string;
  readonly enabled: boolean;
  readonly proof: 'none' | 'verify' | 'restore';
  /** The host has each n-th backup restored; absent: it has not. */
  readonly restoreEvery?: number;
  /** When its schedule is due next, UTC ISO-8601; absent: it has none. */
  readonly nextRunAt?: string;
}

/** Activities of the queue `reprise`: no database, no repository. */
export interface ControlActivities {
  describeCluster(input: { cluster: string }): Promise<ClusterFacts>;
  /** Which hosts a question concerns; `without`: who can answer in place of that one. */
  hostsOf(input: { question: Inspection; without?: string }): Promise<readonly string[]>;
  /** `waits`: takes a place in the queue where it cannot be granted. `lost`: the token that a host refused. */
  acquireLock(input: { cluster: string; request: OwnedClaim; waits?: boolean; lost?: number }): Promise<LockAnswer>;
  /** What was granted after `token` stays; without one, everything of the owner is released, its place in the queue too. */
  releaseLock(input: { cluster: string; owner: LeaseOwner & { token?: number } }): Promise<void>;
  /** Which open operations hold the lock of a cluster or wait for it, as they say themselves; `known` are asked too. */
  lockedOperations(input: { cluster: string; known: readonly LeaseOwner[] }): Promise<LeasedOperations<LockGrant>>;
  /** Takes a slot of a host, or a place in the queue for one. `resumes`: it had one until it waited for a person, and waits for none. */
  acquireSlot(input: HostSlot & { owner: LeaseClaim; resumes?: true }): Promise<SlotAnswer>;
  /** What was granted after `token` stays; without one, everything of the owner is released, its place in the queue too. */
  releaseSlot(input: HostSlot & { owner: LeaseOwner & { token?: number | undefined } }): Promise<void>;
  /** Which open operations have slots of a host or wait for them, as they say themselves. */
  slotHolders(input: HostSlot): Promise<LeasedOperations<Held<SlotClaim>>>;
  /** Returns as soon as one of these executions is closed, and says which. Paused is not closed. */
  awaitClosed(input: { owners: readonly LeaseOwner[] }): Promise<LeaseOwner>;
  /** Whether the schedule of a policy is there and not paused: then it starts a run whenever one is due. */
  isScheduled(input: { cluster: string; policy: string }): Promise<boolean>;
  /** When the last drill of a cluster was due up to an instant (UTC ISO-8601, both); null where none ever was. */
  lastDrillDue(input: { cluster: string; upTo: string }): Promise<string | null>;
  /**
   * What is wrong with the schedules of a cluster, and with the workflows that watch it and receive its WAL, at an instant
   * (UTC ISO-8601).
   */
  lookAtSchedules(input: { cluster: string; now: string }): Promise<readonly Finding[]>;
  workflowIsOpen(input: { workflowId: string }): Promise<boolean>;
  /** Whether an approved recovery holds the cluster: then its server is down because somebody decided so. */
  recoveryHolds(input: { cluster: string }): Promise<boolean>;
  /** Whether a worker of that host polls, seen within the last minute. */
  hostAnswers(input: { host: string }): Promise<boolean>;
  /** Who is told of it, and by which notifiers. */
  deliveriesOf(input: { notice: Notice }): Promise<readonly Delivery[]>;
  /** Sends one message; contacts whose addresses were not taken are named. */
  sendNotice(input: { notice: Notice; delivery: Delivery }): Promise<SentNotice>;
}

/** Operations that hold a lease or wait for it, as they say themselves. */
export interface LeasedOperations<G> {
  readonly held: readonly G[];
  readonly waiting: readonly LeaseOwner[];
  /** They are open and do not say: paused, or without a worker. */
  readonly silent: readonly LeaseOwner[];
}

export interface SentNotice {
  readonly told: readonly string[];
  readonly notTold: readonly string[];
  /** How many addresses were not taken while others were. */
  readonly refused: number;
  readonly detail: string;
}

/** A step of one operation: names things, the host finds everything else in its config and its records. */
export interface StepInput {
  readonly cluster: string;
  readonly operationId: string;
  /** Workflow id, for the journal. */
  readonly workflowId: string;
  /** How often a person had this step tried again; absent: never. What failed for good is then started anew. */
  readonly retry?: number;
  /** The grant under which it runs; absent: the step needs no lock. The host refuses it (`lock-lost`) where it knows a later grant that conflicts. */
  readonly lock?: LockGrant;
}
/** A step that an earlier activity of the same operation has begun: what is before the cursor is done. */
export interface ResumedStep {
  readonly cursor?: string;
}
/** A destructive step: nothing but the plan's digest says what is to be done. */
export interface PlannedStep extends StepInput {
  readonly plan: string;
}

/** A step that carries out an order, which it reads by its schema. */
export interface OrderedStep<Order> extends StepInput {
  readonly order: Order;
}

export interface BackupStep extends OrderedStep<BackupOrder> {
  /** UTC ISO-8601; names the files, the same in every attempt. */
  readonly startedAt: string;
  readonly requester: string;
  /** What was made comes back also where another attempt may have more; absent: such an attempt fails. */
  readonly partly?: true;
}

export interface PlanRequest extends OrderedStep<RecoveryOrder> {
  readonly requester: string;
  /** Digest of the configuration that the control worker, which runs the workflow, has. */
  readonly controlDigest?: string;
  /** For a recovery onto another host: whether the source host has a worker. */
  readonly sourceAnswers?: boolean;
  /** The cluster is recovered because it does not answer: once it does, there is nothing to do. */
  readonly unlessAnswers?: true;
}

export interface MediaRequest extends OrderedStep<MediaOrder> {
  readonly requester: string;
  /** The requester confirmed it; absent: nobody was asked. */
  readonly confirmed?: boolean;
}

export interface ApprovalAnswer {
  readonly accepted: boolean;
  /** Approvals still missing after this one. */
  readonly missing: number;
  readonly code?: ErrorCode;
  readonly reason?: string;
  readonly hint?: string;
}

export interface SalvageResult {
  readonly segments: number;
  readonly endLsn: string | null;
  readonly lastCommitAt: string | null;
}

export interface WatchFinding {
  /** `cannot-look`: the server answers and lets the watch not in, so that nothing else is known of it. */
  readonly state: 'down' | 'up' | 'cannot-look';
  readonly layer: string | null;
  readonly reason: string;
  /** UTC ISO-8601 of the first of the failed checks in a row. */
  readonly since: string;
  /** What a person has to do, where it cannot look. */
  readonly fix?: string;
}

/** Some databases of a policy have their backup, others have not. */
export interface PartlyMade {
  readonly made: readonly string[];
  readonly failed: readonly FailedPart[];
  /** Why another attempt may have more backups; `failed` is empty then. Only where the step asked for it with `partly`. */
  readonly later?: string;
}

/** A step of a drill on its staging host: nothing but the plan's digest and the place in it says what is done. */
export interface DrillStep extends StepInput {
  readonly plan: string;
}
/** `restore`: its index in `DrillPlan.restores`. */
export interface DrillRestoreStep extends DrillStep {
  readonly restore: number;
}

/** Activities of the staging host of a drill; every one is found done where an earlier attempt did it. */
export interface DrillActivities {
  /** Looks at backups and staging, refuses what must not be, claims the place, pins the backups, keeps the plan. */
  planDrill(input: OrderedStep<DrillOrder> & { requester: string }): Promise<DrillPlan>;
  /** Stops what runs in staging and empties it: only a directory that carries the marker of this place. */
  wipeStaging(input: DrillStep): Promise<void>;
  /** Files of a physical backup, or a fresh cluster with the databases of a dump. */
  restoreStaging(input: DrillRestoreStep): Promise<void>;
  /** Started read-only at its target, archiving and egress off. */
  startStaging(input: DrillRestoreStep): Promise<DrillRestored>;
  checkStaging(input: DrillRestoreStep): Promise<readonly DrillCheck[]>;
  /** What two engines restored to one instant, compared by table. */
  crossCheck(input: DrillStep): Promise<readonly DrillCheck[]>;
  /** The masking hook, then logins of people: returns where to connect. */
  openStaging(input: DrillStep): Promise<{ connection: string }>;
  /** Checks who signs and keeps it. */
  recordSignOff(input: DrillStep & { signOff: SignOff; sentBy?: SentBy }): Promise<ApprovalAnswer>;
  /** Reports, hashes, signature; archived in the catalogue's repository. */
  sealEvidence(input: DrillStep & DrillEnding): Promise<DrillOutcome>;
  /** Stops and empties staging, releases place and pins. */
  closeStaging(input: StepInput): Promise<void>;
  /** A drill that came to no plan: it is recorded, and opens an entry of the quality register. */
  recordUnplannedDrill(
    input: StepInput & { startedAt: string; finishedAt: string; reason: string },
  ): Promise<RegisterEntry>;
}

/** A step of a temporary instance. */
export interface InstanceStep extends StepInput {
  /** Which one of its operation: an operation may have several. */
  readonly instance: string;
}
export interface OrderedInstanceStep extends OrderedStep<InstanceOrder> {
  readonly instance: string;
  readonly requester: string;
  /** `explore`: for people, of whom a host serves so many at once; absent: for the steps of the operation. */
  readonly purpose?: 'explore' | 'step';
}

/** Temporary instances: copies that change nothing of production; every step is found done where an earlier attempt did it. */
export interface InstanceActivities {
  /** Chooses a backup, sees that there is room, takes the directory, pins the backup. */
  planInstance(input: OrderedInstanceStep): Promise<PlannedInstance>;
  /** Restores it and starts it, read-only at its target, archiving and egress off. */
  openInstance(input: InstanceStep): Promise<OpenedInstance>;
  /** Restarts it with a later target. `place`: where that is, as the operation has read in the WAL; absent: it is looked for. */
  moveInstance(input: InstanceStep & { target: RecoveryTarget; place?: TargetPlace }): Promise<OpenedInstance>;
  /** `until`: UTC ISO-8601. */
  extendInstance(input: InstanceStep & { until: string }): Promise<{ readonly expiresAt: string }>;
  /** Stops and removes it, unpins its backup; with `ends` its operation ends. */
  closeInstance(input: InstanceStep & { ends?: boolean }): Promise<void>;
}

/** The commit of a transaction that is a target. */
export interface TargetPlace {
  /** Where its record begins. */
  readonly lsn: string;
  /** UTC ISO-8601. */
  readonly committedAt: string;
}

/** What is asked of a table. */
export interface TableActivities {
  /** Production against the temporary instance `instance` of the operation; rows that differ stay in a file of the host. */
  compareTable(input: OrderedStep<ComparisonOrder> & { instance: string }): Promise<TableComparison>;
}

export interface RepairRequest extends OrderedStep<RepairOrder> {
  readonly requester: string;
}

/** What the WAL says of a transaction that is undone. */
export interface FoundTransaction {
  /** UTC ISO-8601. */
  readonly committedAt: string;
  /** Row versions that it ended and made, in all tables. */
  readonly rows: number;
  /** False where its rows are not all in the WAL: the whole table is compared then. */
  readonly exact: boolean;
}

/** The repair of a table: every step is found done where an earlier attempt did it. */
export interface RepairActivities {
  /** Finds a transaction in the WAL, and notes on the host which rows it touched. */
  findTransaction(input: RepairRequest): Promise<FoundTransaction>;
  /** Reads, in temporary instances of the operation, the rows that are damaged; `exact: false`: they cannot be told one by one. */
  collectRows(
    input: RepairRequest & { from: readonly { readonly instance: string; readonly state: 'good' | 'bad' }[] },
  ): Promise<{ readonly exact: boolean }>;
  /** Compares what was collected with the table as it is, and writes the change set. Reads only. */
  planRepair(input: RepairRequest): Promise<RepairPlan>;
  /** Whether every row of the change set is still as the plan saw it. */
  recheckRepair(input: RepairRequest & { plan: string }): Promise<{ digest: string; changed: readonly string[] }>;
  /** Blocks the writes of others to the table as the plan says; what opens them again is recorded before. */
  freezeTable(input: PlannedStep): Promise<void>;
  /** Opens them again; where they were not blocked it does nothing. */
  unfreezeTable(input: StepInput): Promise<void>;
  applyRepair(input: PlannedStep): Promise<ChangeCounts>;
  /** Looks whether the table is as it should be, and writes the report so far; `incident`: what it begins with. */
  checkRepair(input: PlannedStep & { readonly incident?: RepairIncident }): Promise<RepairOutcome>;
  /** Checks who signs a repair off, and keeps it. */
  recordRepairSignOff(
    input: PlannedStep & { readonly signOff: SignOff; readonly sentBy?: SentBy },
  ): Promise<ApprovalAnswer>;
  /** Counts the rows of the table of a plan once for each `after`, and compares them with those after the repair. */
  recordTableCount(input: PlannedStep & { readonly after: string }): Promise<TableCount>;
  /** Writes the report of a repair that has ended. */
  finishRepair(input: PlannedStep & { readonly incident?: RepairIncident }): Promise<RepairOutcome>;
  /** Ends the plans of an operation, however it ended; returns what it has changed and did not report, null: nothing. */
  closeRepair(input: StepInput): Promise<string | null>;
}

export interface HoldRequest extends OrderedStep<HoldOrder> {
  readonly requester: string;
  /** Workflow id of the incident that it belongs to. */
  readonly incident?: string | undefined;
}

/** A table that is kept frozen; {@link RepairActivities} block its writes and open them. */
export interface HoldActivities {
  /** By which means and hooks of the configuration. Reads only. */
  planHold(input: HoldRequest): Promise<HoldPlan>;
  /** Digest of the plan as it would be now, or as it is where it was begun. */
  recheckHold(input: HoldRequest & { plan: string }): Promise<{ digest: string }>;
  /** Ends the plans of an operation, however it ended. */
  closeHold(input: StepInput): Promise<void>;
}

/** Part of the WAL in which commits are looked for. */
export interface CommitRange {
  /** UTC ISO-8601: where to begin and to end to read. */
  readonly from: string;
  readonly to: string;
  /** Only commits after and before these places. */
  readonly afterLsn: string;
  readonly beforeLsn: string | null;
  /** Of the table at its beginning; absent or null: not known. */
  readonly rows?: number | null;
  /** Absent: what the WAL says of each commit is used; false: it has led nowhere, and the replay alone tells. */
  readonly reckons?: false;
}

/** An incident of one table: what is known of it, which repair people chose, and its document. None of them changes the table. */
export interface TableIncidentActivities {
  /** The first step: reads the order, and takes the operation's id for the workflow that called. */
  openTableIncident(input: OrderedStep<TableIncidentOrder>): Promise<void>;
  surveyTable(input: OrderedStep<TableIncidentOrder>): Promise<TableSurvey>;
  /** Reads the WAL of the time before the hour of discovery. */
  findSuspects(input: OrderedStep<TableIncidentOrder> & { readonly discoveredAt: string }): Promise<Suspects>;
  /** Reads a repair that somebody chose, and refuses what is none of this table. */
  readRepairChoice(input: OrderedStep<TableIncidentOrder> & { readonly choice: object }): Promise<RepairOrder>;
  /** Writes the document from what this host has recorded; returns its key. `repair`: operation of the one that put the table right. */
  writeTableReport(
    input: OrderedStep<TableIncidentOrder> & { readonly discoveredAt: string; readonly repair: string | null },
  ): Promise<string>;
}

/** An incident of a migration that went wrong. */
export interface MigrationIncidentActivities {
  /** The first step: reads the order, takes the operation's id for the workflow that called, and finds when the migration was. */
  findMigration(input: OrderedStep<MigrationIncidentOrder>): Promise<MigrationTime>;
  /** Compares definitions and numbers of rows in a temporary instance of the operation with production. */
  compareMigration(input: OrderedStep<MigrationIncidentOrder> & { instance: string }): Promise<MigrationFindings>;
  /** `from`: UTC ISO-8601. */
  findMigrationTransactions(input: OrderedStep<MigrationIncidentOrder> & { readonly from: string }): Promise<Suspects>;
  /** Reads what somebody chose, and refuses what is not about this database. */
  readMigrationChoice(
    input: OrderedStep<MigrationIncidentOrder> & { readonly kind: 'repair' | 'recovery'; readonly choice: object },
  ): Promise<RepairOrder | RecoveryOrder>;
  /** Writes the document; returns its key. `recovery`: operation of the one that ended the incident. */
  writeMigrationReport(
    input: OrderedStep<MigrationIncidentOrder> & {
      readonly discoveredAt: string;
      readonly time: MigrationTime;
      readonly findings: MigrationFindings | null;
      readonly recovery: string | null;
    },
  ): Promise<string>;
}

/** The search for the state of a table that is coherent. All of them read only. */
export interface LocateActivities {
  planLocate(input: OrderedStep<LocateOrder>): Promise<LocatePlan>;
  /** Looks at the table in a temporary instance of the operation. */
  probeTable(input: OrderedStep<LocateOrder> & { instance: string }): Promise<TableState>;
  /** The commits that touched the table, as many as a replay stops at; `total`: all of them. */
  findCommits(
    input: OrderedStep<LocateOrder> & { instance: string; policy: string; range: CommitRange },
  ): Promise<LocateStops & { readonly notes: readonly string[] }>;
}

/** What a transaction did and what came after it. All of them read only; `findTransaction` and `collectRows` of a repair come between. */
export interface BlastRadiusActivities {
  /** What was committed after it, and which transactions touched its rows: by the WAL and the names in a temporary instance. */
  followRows(input: OrderedStep<BlastRadiusOrder> & { instance: string }): Promise<FollowedRows>;
  /** Compares what was collected with the table as it is; rows stay in a file of the host. */
  weighDamage(input: OrderedStep<BlastRadiusOrder>): Promise<WeighedDamage>;
}

export type FollowedRows = Pick<BlastRadius, 'transaction' | 'later' | 'notes'>;
export type WeighedDamage = Pick<BlastRadius, 'undo' | 'references' | 'notes'> & {
  /** File on the host with the rows, and until when it is kept (UTC ISO-8601). */
  readonly file: string;
  readonly fileUntil: string;
};

/** Activities of a host's queues. */
export interface HostActivities
  extends
    DrillActivities,
    InstanceActivities,
    LocateActivities,
    TableActivities,
    TableIncidentActivities,
    MigrationIncidentActivities,
    RepairActivities,
    HoldActivities,
    BlastRadiusActivities {
  /** Does nothing: that it is carried out says that the host's worker runs. */
  confirmWorker(input: { host: string }): Promise<void>;
  answer(input: { question: Inspection; host: string }): Promise<unknown>;
  /** `sentBy`: the signal that a person's note came by. */
  journal(input: StepInput & { step: string; text: string; sentBy?: SentBy }): Promise<void>;
  recordIncident(
    input: StepInput & { scenario: string; state: string; text: string; by: string; sentBy?: SentBy },
  ): Promise<void>;
  recordSkipped(input: StepInput & { policy: string; reason: string }): Promise<void>;
  recordFailed(input: StepInput & { policy: string; code: string; reason: string }): Promise<void>;

  /**
   * Returns on a change, and now and then. `unknown`: nothing is known of the cluster, so the first result is a change; `refused`:
   * but that its server refuses the login, which is no change.
   */
  watchCluster(input: { cluster: string; down: boolean; unknown?: true; refused?: true }): Promise<WatchFinding | null>;
  /** Keeps the WAL of a policy being received; returns now and then, while the program goes on. */
  receiveWal(input: { cluster: string; policy: string; waits?: true }): Promise<{ waits: boolean } | void>;
  diagnose(input: { cluster: string }): Promise<Diagnosis>;

  /** Opens an entry of the quality register where the drill that was due at `dueAt` is overdue `now` (UTC ISO-8601, both). */
  recordOverdueDrill(
    input: StepInput & { dueAt: string; now: string },
  ): Promise<{ readonly entry: RegisterEntry; readonly isNew: boolean } | null>;

  /**
   * Looks at backups, their proof and the recoverable range at an instant (UTC ISO-8601), and records what is wrong, together with
   * what was `found` elsewhere. Repeated by the same operation, it returns the same.
   */
  recordDailyCheck(input: StepInput & { now: string; found: readonly Finding[] }): Promise<DailyCheck>;

  /** The operation has released the cluster lock: none of its steps runs under that grant any more. */
  releaseGrant(input: StepInput): Promise<void>;
  /** What this host knows of the lock of a cluster, for a lock workflow that has lost its state. */
  describeLock(input: { cluster: string }): Promise<LockKnowledge>;

  preflightBackup(input: BackupStep): Promise<readonly string[]>;
  /** Ids of what was made; with what failed beside it, where something did. */
  runBackup(input: BackupStep): Promise<readonly string[] | PartlyMade>;
  /** Verifies (and restores, where asked) and records the proof or the quarantine. */
  proveBackup(input: OrderedStep<VerificationOrder>): Promise<{ ok: boolean; detail: string }>;
  /** What `adoptBackups` would do; reads only. */
  surveyAdoption(input: OrderedStep<AdoptionOrder>): Promise<AdoptionPreview>;
  /** Records, and verifies, what was there before Reprise; repeated, it goes on where it was. */
  adoptBackups(input: OrderedStep<PolicyAdoptionOrder> & { requester: string; plan: string }): Promise<AdoptOutput>;
  readBackups(input: StepInput & { backupIds: readonly string[] }): Promise<readonly Backup[]>;
  /** Tables whose rows changed abnormally from the backups before to these: the largest changes, and how many there are besides. */
  suspectTables(input: StepInput & { backupIds: readonly string[] }): Promise<{
    readonly tables: readonly TableSuspicion[];
    readonly more: number;
  }>;
  rotateBackups(input: OrderedStep<RotationOrder>): Promise<RotateOutput>;

  planRecovery(input: PlanRequest): Promise<Plan | NothingToDo>;
  /**
   * Made again just before the destructive steps: the digest of the plan as it would be now; null where its backup is damaged, or
   * where there is nothing to do any more.
   */
  recheckPlan(
    input: PlanRequest & { plan: string },
  ): Promise<{ digest: string | null; changed: readonly string[]; nothingToDo?: string }>;
  pin(input: PlannedStep): Promise<void>;
  unpin(input: StepInput): Promise<void>;
  /** `sentBy`: the message it came by; the host reads in the history who sent that. */
  recordApproval(input: PlannedStep & { approval: Approval; sentBy?: SentBy }): Promise<ApprovalAnswer>;
  /** Checks and keeps what a person decided on the recovered data: later steps believe what is kept, not who calls them. */
  recordDecision(input: PlannedStep & { decision: Decision; sentBy?: SentBy }): Promise<ApprovalAnswer>;
  recordRejection(
    input: StepInput & { plan: string | null; by: string; reason: string; sentBy?: SentBy },
  ): Promise<void>;

  /** Asks for readable copies of the plan's cold files; asks for nothing twice. */
  requestThaw(input: PlannedStep): Promise<void>;
  /** What of the plan's files still cannot be read. */
  lookAtThaw(input: PlannedStep): Promise<{ objects: number; bytes: number }>;
  runHook(input: PlannedStep & { hook: string }): Promise<void>;
  /** Runs what takes a hook back: once for each time the hook was begun. */
  undoHook(input: PlannedStep & { hook: string }): Promise<void>;
  safetyBackup(input: PlannedStep & { startedAt: string }): Promise<string>;
  /** Void: of an older worker. */
  stopServer(input: PlannedStep): Promise<StoppedServer | void>;
  startServer(input: PlannedStep): Promise<ReachedTarget>;
  salvageWal(input: PlannedStep): Promise<SalvageResult>;
  putAside(input: PlannedStep): Promise<void>;
  restoreFiles(input: PlannedStep): Promise<void>;
  /** To the plan's target, or to one that `recordDecision` has kept. */
  replayWal(input: PlannedStep & { target: RecoveryTarget }): Promise<ReachedTarget>;
  /**
   * `repaired`: indexes built anew because a collation's rules differ on this host; `skipped`: databases that could not be
   * looked at or repaired, each in words (absent: of an older worker).
   */
  promoteServer(
    input: PlannedStep,
  ): Promise<{ timeline: number; repaired: readonly string[]; skipped?: readonly string[] }>;
  rearmArchiving(input: PlannedStep): Promise<void>;
  /** Media of the plan, to the instant of the database; repeated, it goes on where it was. */
  restoreMedia(input: PlannedStep): Promise<void>;
  /** `accept`: the plan that has to be approved before the databases are swapped, as the restore left errors. */
  restoreDatabases(input: PlannedStep): Promise<ReachedTarget & { readonly accept?: Plan }>;
  swapDatabases(input: PlannedStep): Promise<void>;
  runChecks(input: PlannedStep & { method: RecoveryMethod }): Promise<readonly CheckResult[]>;
  freshBackup(input: PlannedStep & { startedAt: string }): Promise<readonly string[]>;
  /**
   * Outcome, checks and figures are those of the host's own ledger. `firstFailedAt`: as the incident was told; a line of
   * the journal, and no figure.
   */
  finishRecovery(input: PlannedStep & { incident?: string; firstFailedAt?: string }): Promise<RecoveryOutcome>;

  /** Says what would be done, by an order that is approved or confirmed; keeps the plan. */
  planAction(input: OrderedStep<ActionOrder> & { requester: string }): Promise<ActionPlan>;
  recheckAction(input: OrderedStep<ActionOrder> & { requester: string; plan: string }): Promise<{ digest: string }>;
  /** Carries a plan out, once. */
  applyAction(input: PlannedStep): Promise<ActionOutcome>;
  /** Ends the plans of an operation, however it ended. */
  closeAction(input: StepInput): Promise<void>;

  planMedia(input: MediaRequest): Promise<MediaPlan>;
  /** Digest of the plan as it would be now, or as it is where it was begun. */
  recheckMedia(input: MediaRequest & { plan: string }): Promise<{ digest: string }>;
  /** Carries a plan out; repeated, it goes on where it was. */
  applyMedia(input: PlannedStep & ResumedStep): Promise<void>;
  finishMedia(input: PlannedStep): Promise<MediaOutcome>;
  /** Ends the plans of an operation, however it ended. */
  closeMedia(input: StepInput): Promise<void>;
  /** Reads and compares; `sample` images are decoded for real. */
  verifyMedia(input: OrderedStep<MediaVerificationOrder>): Promise<MediaVerdict>;
  /** Writes the incident document anew from the records; returns its key. */
  writeReport(input: StepInput & { incident: string }): Promise<string>;
}
