import type { Backup, FailedPart } from '../domain/backup/backup.js';
import type { DailyCheck } from '../domain/backup/daily-check.js';
import type { MediaOutcome, MediaPlan, MediaVerdict } from '../domain/media/media.js';
import type { DrillOutcome, RegisterEntry } from '../domain/drill/drill.js';
import type { OpenedInstance } from '../domain/explore/instance.js';
import type { BlastRadius } from '../domain/table/blast-radius.js';
import type { TableComparison } from '../domain/table/compare.js';
import type { Plan } from '../domain/plan/plan.js';
import type { ActionOutcome, ActionPlan } from '../domain/approval/actions.js';
import type {
  ActionOrder,
  AdoptionOrder,
  BackupOrder,
  ComparisonOrder,
  DrillOrder,
  ExploreOrder,
  BlastRadiusOrder,
  HoldOrder,
  LocateOrder,
  MediaOrder,
  MediaVerificationOrder,
  OperationRequest,
  RecoveryOrder,
  RepairOrder,
  RotationOrder,
  MigrationIncidentOrder,
  TableIncidentOrder,
  VerificationOrder,
} from '../domain/operation/orders.js';
import type { Inspection } from '../domain/operation/inspections.js';
import type { RecoveryOutcome } from '../domain/backup/records.js';
import type { WatchPause } from '../domain/approval/parse-decisions.js';
import type { LeaseState } from '../domain/operation/lease.js';
import type { OwnedClaim } from '../domain/operation/locks.js';
import type { HostSlot, SlotClaim } from '../domain/operation/slots.js';
import type { Notice } from '../domain/notification/notices.js';
import type { HeldTable, HoldOutcome, HoldPlan } from '../domain/table/hold.js';
import type { TableSuspicion } from '../domain/table/history.js';
import type { LocateResult } from '../domain/table/locate.js';
import type { RepairIncident, RepairOutcome, RepairPlan } from '../domain/table/repair.js';
import type { RotateOutput } from '../domain/retention/retention.js';

export type { AdoptOutput } from '../domain/backup/adoption.js';
export type { RotateOutput } from '../domain/retention/retention.js';

/**
 * Inputs and results of the workflows. They live in histories: a field may be added, none renamed or removed.
 * Inputs name things, never commands. The operation id is made once by whoever starts it; it is absent in schedules,
 * whose workflow ids carry their time.
 */
export type OperationInput<Order> = OperationRequest<Order> & { readonly operationId?: string };

export type BackupInput = OperationInput<BackupOrder>;
export interface BackupOutput {
  readonly backups: readonly Backup[];
  /** Why nothing was done: the policy is disabled, another holder has the cluster. */
  readonly skipped?: { readonly code: 'policy-disabled' | 'lock-held'; readonly reason: string };
  readonly rotation?: RotateOutput;
  /** What the check before the backup found worth saying, such as a database that is skipped; absent where nothing. */
  readonly notes?: readonly string[];
  /** Databases without a backup, and backups whose verification failed, while others are whole; absent where there are none. */
  readonly failed?: readonly FailedPart[];
  /** Tables whose rows changed abnormally since the backups before; absent where there are none. */
  readonly suspicions?: readonly TableSuspicion[];
}

export type RotateInput = OperationInput<RotationOrder>;
export type VerifyInput = OperationInput<VerificationOrder>;
export interface VerifyOutput {
  readonly backup: Backup;
  readonly ok: boolean;
  readonly detail: string;
}

export type AdoptInput = OperationInput<AdoptionOrder>;

export interface RecoverInput extends OperationRequest<RecoveryOrder> {
  readonly operationId: string;
  /** The incident that asked for it, and when the cluster was first seen failing (UTC ISO-8601). */
  readonly incident?: string;
  readonly firstFailedAt?: string;
  /** It was asked for because the cluster does not answer: once it does, there is nothing to do. */
  readonly unlessAnswers?: true;
}
export interface RecoverOutput {
  readonly state: 'completed' | 'rejected';
  /** Null where it was rejected before there was one. */
  readonly plan: Plan | null;
  readonly outcome: RecoveryOutcome | null;
  readonly rejectedBecause?: string;
  /** What a rejected recovery left, and what to type next. */
  readonly left?: string;
  /** Why it ended without an outcome: the cluster answers again. */
  readonly nothingToDo?: string;
}

export interface ActionInput extends OperationRequest<ActionOrder> {
  readonly operationId: string;
}
export interface ActionOutput {
  readonly state: 'completed' | 'rejected';
  /** Null where it was rejected before there was one. */
  readonly plan: ActionPlan | null;
  /** Null where it was rejected, or where there was nothing to do. */
  readonly outcome: ActionOutcome | null;
  readonly rejectedBecause?: string;
}

export interface MediaInput extends OperationRequest<MediaOrder> {
  readonly operationId: string;
  /** The requester typed the name of the media, or gave `--yes`: needed to remove objects where no policy asks for an approval. */
  readonly confirmed?: boolean;
}
export interface MediaOutput {
  readonly state: 'completed' | 'rejected';
  /** Null where it was rejected before there was one. */
  readonly plan: MediaPlan | null;
  /** Null where it was rejected, or where there was nothing to do. */
  readonly outcome: MediaOutcome | null;
  readonly rejectedBecause?: string;
  /** Of one that was rejected after its changes were begun: what that left; absent: nothing was changed. */
  readonly left?: string;
}

export type VerifyMediaInput = OperationInput<MediaVerificationOrder>;
export type VerifyMediaOutput = MediaVerdict;

export type DrillInput = OperationInput<DrillOrder>;
export interface DrillOutput {
  readonly outcome: DrillOutcome;
}

export interface ExploreInput extends OperationRequest<ExploreOrder> {
  readonly operationId: string;
}
export interface ExploreOutput {
  readonly ended: 'expired' | 'dropped';
  /** Who dropped it, as asserted. */
  readonly by: string | null;
}
/** What people see of a temporary instance. */
export interface ExploreView {
  readonly id: string;
  readonly cluster: string;
  readonly host: string;
  /** Asserted. */
  readonly requester: string;
  /** The target as it was asked for first. */
  readonly requested: string;
  /** Null until it runs. */
  readonly instance: OpenedInstance | null;
}

export interface CompareTableInput extends OperationRequest<ComparisonOrder> {
  readonly operationId: string;
}
export interface CompareTableOutput extends TableComparison {
  /** From which the good side was restored. */
  readonly backups: readonly string[];
  /** Where the good side stood, in words. */
  readonly reached: string;
  /** Where {@link TableComparison.file} is. */
  readonly host: string;
}

export interface LocateInput extends OperationRequest<LocateOrder> {
  readonly operationId: string;
}
export type LocateOutput = LocateResult;

export interface BlastRadiusInput extends OperationRequest<BlastRadiusOrder> {
  readonly operationId: string;
}
export interface BlastRadiusOutput extends BlastRadius {
  /** From which the states before and after it were restored. */
  readonly backups: readonly string[];
  /** Where the rows themselves are. */
  readonly host: string;
  readonly file: string;
  readonly fileUntil: string;
}

export interface RepairInput extends OperationRequest<RepairOrder> {
  readonly operationId: string;
  /** The incident that this repair belongs to: its report begins with it. */
  readonly incident?: RepairIncident;
  /** It ends with the plan, and changes nothing. */
  readonly planOnly?: true;
}
export interface RepairOutput {
  readonly state: 'completed' | 'rejected';
  readonly plan: RepairPlan | null;
  /** Null where nothing was to be changed, or it was rejected. */
  readonly outcome: RepairOutcome | null;
  readonly rejectedBecause?: string;
  /** Of one that was rejected: what it had changed by then, with the command that takes it back; absent: nothing. */
  readonly left?: string;
}

export interface HoldInput extends OperationRequest<HoldOrder> {
  readonly operationId: string;
  /** Workflow id of the incident that it belongs to. */
  readonly incident?: string;
  /** It ends with the plan, and changes nothing. */
  readonly planOnly?: true;
}
export interface HoldOutput {
  readonly state: 'completed' | 'rejected';
  readonly plan: HoldPlan | null;
  /** Null where it was rejected. */
  readonly outcome: HoldOutcome | null;
  readonly rejectedBecause?: string;
}
/** What people see of a table that is kept frozen. */
export type HoldView = HeldTable;

export interface DrillOverdueInput {
  readonly cluster: string;
}
export interface DrillOverdueOutput {
  /** When the last drill was due, UTC ISO-8601; null: none ever was. */
  readonly dueAt: string | null;
  /** The entry of the quality register, where it is overdue. */
  readonly entry: RegisterEntry | null;
}

export interface DailyCheckInput {
  readonly cluster: string;
}
export type DailyCheckOutput = DailyCheck;

interface IncidentBasis {
  readonly cluster: string;
  readonly operationId: string;
  readonly requester: string;
}
/** A server that does not answer. */
export interface InstanceLossInput extends IncidentBasis {
  readonly scenario: 'instance-loss';
  readonly firstFailedAt?: string;
  /** Layer and reason as the watch found them. */
  readonly finding?: { readonly layer: string; readonly reason: string };
}
/** A table whose rows are wrong. */
export interface TableCorruptionInput extends IncidentBasis {
  readonly scenario: 'table-corruption';
  readonly order: TableIncidentOrder;
}
/** A migration of a database that went wrong. */
export interface BadMigrationInput extends IncidentBasis {
  readonly scenario: 'bad-migration';
  readonly order: MigrationIncidentOrder;
}
export type IncidentInput = InstanceLossInput | TableCorruptionInput | BadMigrationInput;
export interface IncidentOutput {
  readonly state: 'closed' | 'dismissed';
  readonly recovery: string | null;
  /** Of a table: the repair that put it right. */
  readonly repair?: string | null;
  /** Key of the document in the catalogue, where the incident has one of its own. */
  readonly report?: string | null;
}
/** What the incident answers to whoever chose a repair. */
export interface ChosenRepair {
  readonly workflowId: string;
  readonly operationId: string;
}

export interface WatchInput {
  readonly cluster: string;
  /** Carried over continue-as-new. */
  readonly openIncident?: string | null;
  readonly down?: boolean;
  /** It cannot look: why, since when (UTC ISO-8601), and whether people were told. */
  readonly cannotLook?: {
    readonly why: string;
    readonly since: string;
    readonly told: boolean;
    /** The server refuses the login of the watch. */
    readonly refused?: true;
  };
  /** A person has it pause. */
  readonly paused?: WatchPause;
}

export interface ArchiveInput {
  readonly cluster: string;
  readonly policy: string;
  /** An earlier run has told people that the WAL does not get into the repository, and that is still so. */
  readonly told?: true;
}

export interface InspectInput {
  readonly question: Inspection;
}

export interface LockInput {
  readonly cluster: string;
  /** Absent: who held it is not known, and is asked of the operations that are under way. */
  readonly state?: LeaseState<OwnedClaim>;
}

export interface SlotsInput extends HostSlot {
  /** Absent: who has them is not known, and is asked of the operations that are under way. */
  readonly state?: LeaseState<SlotClaim>;
}

export interface NotifyInput {
  readonly notice: Notice;
}
export interface NotifyOutput {
  readonly deliveries: readonly NotifyResult[];
}
/** What came of one notifier. */
export interface NotifyResult {
  readonly notifier: string;
  readonly told: readonly string[];
  readonly notTold: readonly string[];
  /** How many addresses were not taken while others were. */
  readonly refused: number;
  /** Code of the error table where nobody was notified by it. */
  readonly code: string | null;
  readonly detail: string;
}
