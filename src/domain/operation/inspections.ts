import type { RotateOutput } from '../retention/retention.js';
import type { ActionPlan } from '../approval/actions.js';
import type { AdoptionPreview } from '../backup/adoption.js';
import type { Backup } from '../backup/backup.js';
import type { DrillOutcome, DrillPlan, RegisterEntry } from '../drill/drill.js';
import type { LostEvidence } from '../drill/evidence.js';
import type { PlannedInstance } from '../explore/instance.js';
import type { Finding } from '../findings.js';
import type { MediaPlan } from '../media/media.js';
import type { Plan } from '../plan/plan.js';
import type {
  ActionOrder,
  AdoptionOrder,
  DrillOrder,
  ExploreOrder,
  MediaOrder,
  OperationRequest,
  RecoveryOrder,
  RotationOrder,
  MigrationIncidentOrder,
  TableIncidentOrder,
} from './orders.js';
import type { JobView } from './progress.js';
import type { TableHistoryLine } from '../table/history.js';
import type { MigrationTime } from '../incident/migration.js';
import type { TableSurvey } from '../table/incident.js';
import type { KnownTable } from '../table/known-table.js';
import type { TableName } from '../table/table-name.js';
import type { WalTransactionsAnswer, WalTransactionsRequest } from './wal-transactions.js';
import type { CatalogueRecord, KeptItem, RecoveryOutcome } from '../backup/records.js';
import type { StoragePlan } from '../storage/storage-plan.js';
import type { StorageUsage } from '../storage/storage-usage.js';

/**
 * What the command line asks of the host that owns the data: reads, and small writes that need no approval. Each is
 * one short activity `answer` on each host that is asked; the answer is plain JSON of the kind in {@link InspectionResults}.
 */
export type Inspection =
  | { readonly kind: 'backups'; readonly cluster?: string }
  | { readonly kind: 'backup'; readonly id: string }
  | {
      readonly kind: 'hold';
      readonly id: string;
      /** UTC ISO-8601, or `infinity`. */
      readonly until: string;
      readonly reason: string;
      readonly by: string;
    }
  | { readonly kind: 'kept'; readonly cluster?: string }
  /** Copies that recoveries have left beside. */
  | { readonly kind: 'beside'; readonly cluster?: string }
  /** Stops the server of one; `id` as its list has it. */
  | {
      readonly kind: 'beside-stop';
      readonly cluster: string;
      readonly id: string;
      readonly host: string;
      readonly by: string;
    }
  | { readonly kind: 'incidents'; readonly cluster?: string }
  /** Recoveries that were planned, and how they ended. */
  | { readonly kind: 'recoveries'; readonly cluster?: string }
  /** By operation id or by workflow id. */
  | { readonly kind: 'incident'; readonly id: string }
  | { readonly kind: 'report'; readonly id: string; readonly cluster?: string; readonly format?: 'html' }
  /** Dry run of `recover`: the plan itself, nothing recorded. */
  | ({ readonly kind: 'plan'; readonly operationId: string } & OperationRequest<RecoveryOrder>)
  /** Dry run of `media recover` and `media sync`. */
  | ({ readonly kind: 'media-plan'; readonly operationId: string } & OperationRequest<MediaOrder>)
  /** Drills that have ended, oldest first, and the quality register. */
  | { readonly kind: 'drills'; readonly cluster?: string }
  /** Dry run of `drill run`. */
  | ({ readonly kind: 'drill-plan'; readonly operationId: string } & OperationRequest<DrillOrder>)
  /** Dry run of `explore start`; the order names the host. */
  | ({ readonly kind: 'explore-plan'; readonly operationId: string } & OperationRequest<ExploreOrder>)
  /** Dry run of `rotate`. */
  | { readonly kind: 'rotation'; readonly cluster: string; readonly order: RotationOrder }
  /** Dry run of `backup adopt`. */
  | { readonly kind: 'adoption'; readonly cluster: string; readonly order: AdoptionOrder }
  | { readonly kind: 'diagnose'; readonly cluster: string }
  /** Between which instants any moment can be recovered. */
  | { readonly kind: 'wal'; readonly cluster: string }
  /** What happened in a span of time, from WAL. */
  | ({ readonly kind: 'wal-transactions' } & WalTransactionsRequest)
  /** Rows of a table in each backup. */
  | { readonly kind: 'table-history'; readonly cluster: string; readonly database: string; readonly table: TableName }
  /** Before an incident of it is opened: whether a table, or a database, is anywhere. */
  | { readonly kind: 'known'; readonly cluster: string; readonly database: string; readonly table?: TableName }
  /** Dry run of `incident start table-corruption`: what would be shown. */
  | { readonly kind: 'migration-time'; readonly cluster: string; readonly order: MigrationIncidentOrder }
  | { readonly kind: 'table-survey'; readonly cluster: string; readonly order: TableIncidentOrder }
  | { readonly kind: 'jobs'; readonly cluster: string; readonly operationId: string }
  /** A random text for each recipient of a policy, or for the one named, which only the holder of its key can read. */
  | { readonly kind: 'key-challenge'; readonly cluster: string; readonly policy: string; readonly recipient?: string }
  | {
      readonly kind: 'key-answer';
      readonly cluster: string;
      readonly policy: string;
      readonly recipient: string;
      readonly answer: string;
      readonly by: string;
    }
  /** Settings of a storage: what is, and what the config wants. */
  | { readonly kind: 'storage-plan'; readonly repository: string }
  /** What a storage holds and costs. */
  | { readonly kind: 'storage-usage'; readonly repository: string }
  /** Takes what is at the place of a repository now for the right one; with `dryRun` only looks. */
  | {
      readonly kind: 'repository-accept';
      readonly repository: string;
      readonly by: string;
      readonly reason: string;
      readonly dryRun?: true;
    }
  /** Dry run of what is approved or confirmed: dropping old data, releasing a hold, settings of a storage. */
  | ({ readonly kind: 'action'; readonly operationId: string } & OperationRequest<ActionOrder>)
  /** What `doctor` finds on a host. */
  | { readonly kind: 'host'; readonly host: string }
  /** One page of an answer that is too long for one payload. */
  | { readonly kind: 'page'; readonly host: string; readonly id: string; readonly page: number };

export type InspectionKind = Inspection['kind'];

/** Answered by listing everything there is, a million objects perhaps: as long as that takes. */
export function listsEverything({ kind }: Pick<Inspection, 'kind'>): boolean {
  return [
    ...['media-plan', 'plan', 'drill-plan', 'explore-plan', 'action', 'storage-usage'],
    ...['wal-transactions', 'migration-time'],
  ].includes(kind);
}

/** A small write: what was asked, and by whom, stays to be seen in Temporal. */
export function changesRecords(question: Inspection): boolean {
  if (question.kind === 'repository-accept') return question.dryRun !== true;
  return question.kind === 'hold' || question.kind === 'key-answer';
}

/** What an operation keeps from rotation, since when (UTC ISO-8601). */
export interface PinLine {
  readonly cluster: string;
  readonly operationId: string;
  readonly workflowId: string | null;
  readonly backupIds: readonly string[];
  readonly walFrom: string | null;
  readonly since: string;
}

/** A backup that damaged pages of the cluster made fail. */
export interface PageErrorLine {
  readonly cluster: string;
  readonly policy: string;
  /** UTC ISO-8601. */
  readonly at: string;
  readonly reason: string;
}

/** Answer by kind of question. */
export interface InspectionResults {
  /** `pins`: what running operations keep from rotation; absent from hosts of earlier versions. */
  readonly backups: {
    readonly backups: readonly Backup[];
    readonly pins?: readonly PinLine[];
    /** Backups that failed because pages of the cluster are damaged, where none was taken since; absent from hosts of earlier versions. */
    readonly pageErrors?: readonly PageErrorLine[];
  };
  readonly backup: { readonly backup: Backup };
  readonly hold: { readonly backup: Backup };
  readonly kept: { readonly kept: readonly KeptItem[] };
  readonly beside: { readonly copies: readonly BesideCopy[] };
  readonly 'beside-stop': { readonly stopped: boolean };
  readonly incidents: { readonly incidents: readonly IncidentLine[] };
  readonly recoveries: { readonly recoveries: readonly RecoveryLine[] };
  readonly incident: IncidentView;
  /** `html`: where it was asked for; `markdown` is empty then. */
  readonly report: { readonly markdown: string; readonly html?: string };
  readonly plan: { readonly plan: Plan };
  readonly 'media-plan': { readonly plan: MediaPlan };
  /** `firstRecordAt`: of one cluster that was named, UTC ISO-8601; absent where it has no records. */
  readonly drills: {
    readonly drills: readonly DrillOutcome[];
    readonly register: readonly RegisterEntry[];
    /** Evidence that the repository should have; absent from a worker of before. */
    readonly lost?: readonly (LostEvidence & { readonly cluster: string })[];
    readonly firstRecordAt?: string;
  };
  readonly 'drill-plan': { readonly plan: DrillPlan };
  readonly 'explore-plan': { readonly plan: PlannedInstance };
  readonly rotation: RotationPreview;
  readonly adoption: AdoptionPreview;
  readonly diagnose: Diagnosis;
  readonly wal: { readonly windows: readonly WalWindow[] };
  readonly 'wal-transactions': WalTransactionsAnswer;
  readonly 'table-history': { readonly history: readonly TableHistoryLine[] };
  readonly 'migration-time': { readonly time: MigrationTime };
  readonly known: { readonly known: KnownTable };
  readonly 'table-survey': { readonly survey: TableSurvey };
  readonly jobs: { readonly jobs: readonly JobView[] };
  readonly 'key-challenge': {
    readonly challenges: readonly {
      readonly recipient: string;
      readonly challenge: string;
      readonly provenAt: string | null;
    }[];
  };
  readonly 'key-answer': { readonly recipient: string; readonly provenAt: string };
  readonly 'storage-plan': { readonly plan: StoragePlan };
  readonly 'storage-usage': { readonly usage: StorageUsage };
  readonly 'repository-accept': { readonly repositories: readonly AcceptedRepository[] };
  readonly action: { readonly plan: ActionPlan };
  readonly page: { readonly text: string };
  readonly host: {
    readonly findings: readonly Finding[];
    /** Of the configuration this host's worker was started with; workers of an older version do not tell. */
    readonly configDigest?: string;
  };
}

/** An answer that is too long for one payload: its host keeps it for some minutes, to be read page by page. */
export interface PagedAnswer {
  readonly paged: { readonly host: string; readonly id: string; readonly pages: number };
}

/** Answers of several hosts, where one of them is paged: whoever asked reads the pages and merges them. */
export interface AnswerParts {
  readonly parts: readonly unknown[];
}

export function isPaged(answer: unknown): answer is PagedAnswer {
  return isObject(answer) && isObject(answer['paged']);
}

export function isInParts(answer: unknown): answer is AnswerParts {
  return isObject(answer) && Array.isArray(answer['parts']) && answer['parts'].some(isPaged);
}

/** What hosts answered, as one; where an answer is paged, in parts. */
export function joinAnswers(answers: readonly unknown[]): unknown {
  return answers.some(isPaged) ? { parts: answers } : mergeInspectionResults(answers);
}

/** A repository, or the place of an engine's own tool in it (`CLUSTER/POLICY`), that a host is told to use. */
export interface AcceptedRepository {
  readonly name: string;
  readonly where: string;
  /** What the host knew before; null where it knew none. */
  readonly knownId: string | null;
  /** What is there; null where there is none yet, and for a dry run none is made. */
  readonly id: string | null;
}

/** A copy that a recovery `--into NAME` has left. */
export interface BesideCopy extends KeptItem {
  /** Its place under `recovery.targets`. */
  readonly name: string;
  readonly port: number;
  /** `gone`: its directory is not there, or another one is. */
  readonly state: 'running' | 'stopped' | 'gone';
}

export interface IncidentLine {
  /** Its workflow id, `incident/<cluster>/<scenario>/<operation id>`. */
  readonly id: string;
  readonly cluster: string;
  readonly scenario: string;
  readonly state: string;
  readonly openedAt: string;
  readonly closedAt: string | null;
}

export interface IncidentView {
  readonly incident: IncidentLine;
  /** Journal of the incident and of its recovery, oldest first. */
  readonly records: readonly CatalogueRecord[];
  readonly outcome: RecoveryOutcome | null;
}

/** A recovery as `recover list` shows it; times are UTC ISO-8601. */
export interface RecoveryLine {
  readonly workflowId: string;
  readonly operationId: string;
  readonly cluster: string;
  /** When its last plan was made. */
  readonly at: string;
  readonly endedAt: string | null;
  readonly policy: string;
  readonly method: string;
  readonly into: string;
  /** Asserted. */
  readonly requester: string;
  readonly target: { readonly requested: string; readonly reached: string | null };
  /** `waiting`: for its approval; `not-executed`: rejected or expired; `not-completed`: it ended without an outcome. */
  readonly result: 'recovered' | 'running' | 'waiting' | 'not-executed' | 'not-completed';
  readonly rtoSeconds: number | null;
  readonly rpoSeconds: number | null;
  /** Key of the incident document in the catalogue's repository. */
  readonly report: string | null;
}

export interface RotationPreview {
  readonly keep: readonly { readonly id: string; readonly reason: string }[];
  readonly remove: readonly { readonly id: string; readonly reason: string }[];
  readonly refused?: { readonly reason: string; readonly hint: string };
  /** As {@link RotateOutput.orphans}. */
  readonly orphans?: RotateOutput['orphans'];
}

/** State of a cluster as a look at it finds it now. */
export interface Diagnosis {
  readonly answers: boolean;
  /** First layer that fails: host, port, login, query; null where all answer. */
  readonly layer: string | null;
  readonly reason: string;
  readonly dataDirectory: 'whole' | 'damaged' | 'missing' | 'empty' | 'unknown';
  readonly walReadable: boolean;
}

/** The recoverable range of a policy's archived WAL. */
export interface WalWindow {
  readonly policy: string;
  /** UTC ISO-8601: end of the oldest backup after which the WAL has no gap; null where there is no such backup. */
  readonly oldest: string | null;
  /** UTC ISO-8601: the last commit that is archived; null where none is after the backup. */
  readonly newest: string | null;
  /** The gap in the WAL between older backups and the end, in words; null where there is none. */
  readonly hole: string | null;
  /** UTC ISO-8601: the first commit after what is archived, as the server's own log says; absent where none is known of. */
  readonly waitingSince?: string;
  /** Complete backups of another system identifier, as before pg_upgrade, which the range leaves out; absent: none. */
  readonly ofOtherCluster?: number;
}

/** Answers of several hosts as one: lists are joined, everything else is the first host's. */
export function mergeInspectionResults(answers: readonly unknown[]): unknown {
  const [first, ...rest] = answers;
  if (rest.length === 0 || !isObject(first)) return first;
  return Object.fromEntries(
    Object.entries(first).map(([key, value]) => [
      key,
      Array.isArray(value)
        ? answers.flatMap((answer) =>
            isObject(answer) && Array.isArray(answer[key]) ? (answer[key] as unknown[]) : [],
          )
        : value,
    ]),
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
