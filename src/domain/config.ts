import type { SignOffPolicy } from './drill/drill.js';
import type { NotifyEvent } from './notification/notices.js';
import type { StepLimits } from './operation/retries.js';
import type { RecoveryStepName, RestoreAs } from './plan/plan.js';
import type { Prices } from './storage/storage-usage.js';
import type { Language } from './text/languages.js';
import type { SuspicionRule } from './table/history.js';
import type { FreezeMeans } from './table/repair.js';
import type { TableName } from './table/table-name.js';

/** The configuration as the rest of the program sees it: parsed once, every path absolute, every duration in seconds. */
export interface Config {
  /** Absolute path of the file it came from. */
  readonly file: string;
  /** Of the reports of drills. */
  readonly language: Language;
  readonly temporal: { readonly webUi: string; readonly address?: string; readonly namespace?: string };
  readonly hosts: Readonly<Record<string, HostConfig>>;
  readonly repositories: Readonly<Record<string, RepositoryConfig>>;
  readonly clusters: Readonly<Record<string, ClusterConfig>>;
  /** By name: addresses by notifier (`mail: [...]`), besides `name` and `phone`. */
  readonly contacts: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly notifiers: Readonly<Record<string, NotifierConfig>>;
  /** Notifiers by event. */
  readonly notify: Readonly<Partial<Record<NotifyEvent, readonly string[]>>>;
  /** Contacts by activity (`backup`, `recover`...), whoever is responsible first. */
  readonly raci: Readonly<Record<string, readonly string[]>>;
  readonly media: Readonly<Record<string, MediaConfig>>;
  /** Private SSH key, by absolute path, that signs the evidence of drills on the staging host; absent: it is hashed, not signed. */
  readonly evidence?: { readonly signingKey: string };
  /** What the file says and this version does not act on: shown by `config check`, `doctor` and each worker. */
  readonly warnings: readonly ConfigWarning[];
  /** SHA-256 (hex) of the canonical resolved configuration, secrets by reference: workers with another one are drift. */
  readonly digest: string;
}

export interface ConfigWarning {
  /** Dotted, e.g. `raci.drill`. */
  readonly key: string;
  /** `file:line:column` */
  readonly place: string;
  readonly message: string;
  readonly hint: string;
}

export interface HostConfig extends StepLimits {
  readonly name: string;
  /** Directory of job records, plans and the ledger, mode 0700. */
  readonly stateDir: string;
  readonly scratchDir: string;
  readonly heavySlots: number;
  readonly recoverySlots: number;
  readonly mediaSlots: number;
  /** A worker that sends no heartbeat for so long counts as lost; absent: `HEARTBEAT_SECONDS`. */
  readonly heartbeatSeconds?: number;
  /** A step that is no job and has made no progress for so long counts as stalled; absent: `STALL_SECONDS`. */
  readonly stallSeconds?: number;
  /** The same for its watches and WAL receivers; absent: six times `heartbeatSeconds`. */
  readonly watchHeartbeatSeconds?: number;
}

export interface RepositoryConfig {
  readonly name: string;
  /** A kind of the storage registry. */
  readonly type: string;
  /** The host that owns a directory; absent where every host reaches it. */
  readonly host?: string;
  /** What it costs to keep things there; absent: nobody said. */
  readonly prices?: Prices;
  /** What the storage's own schema parsed (`path` for a directory). */
  readonly options: Readonly<Record<string, unknown>>;
}

/** A storage by the settings of another tool. Holds secrets: never shown, and kept nowhere. */
export interface DescribedStorage {
  /** A kind of the storage registry. */
  readonly type: string;
  /** Keys of a repository of that type, as in reprise.yml. */
  readonly values: Readonly<Record<string, unknown>>;
  /** What `{ env: NAME }` stands for in them. */
  readonly secrets: Readonly<Record<string, string>>;
}

/** Where a secret is kept; the secret itself is never in a config. */
export type SecretReference =
  { readonly env: string } | { readonly file: string } | { readonly command: readonly string[] };

/** Objects that belong to a cluster. */
export interface MediaConfig {
  readonly name: string;
  readonly repository: string;
  /** Folder in the repository: empty, or with a slash at its end. */
  readonly folder: string;
  readonly cluster: string;
  /** Objects that are transferred at once. */
  readonly concurrency: number;
  /** Bigger ones are copied in parts. */
  readonly singleCopyBytes: number;
  /** Names in its first column the keys that rows refer to, relative to the folder. */
  readonly objectsQuery?: { readonly database: string; readonly query: string };
}

export interface NotifierConfig {
  readonly name: string;
  /** A kind of the notifier registry. */
  readonly type: string;
  /** It is told of every scheduled run, and of nothing else. */
  readonly takesRuns?: true;
  /** False where the notifier has one address of its own, and contacts need none. */
  readonly addressed: boolean;
  /** What the notifier's own schema parsed; secrets by reference. */
  readonly options: Readonly<Record<string, unknown>>;
}

/** As libpq's parameters of the same names; files by absolute path. */
export interface TlsConfig {
  readonly mode: (typeof sslModes)[number];
  readonly rootCert?: string;
  readonly cert?: string;
  readonly key?: string;
}
export const sslModes = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const;

export interface ConnectionConfig {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly passfile?: string;
  /** Absent: libpq's own defaults, and TLS where a server elsewhere offers it. */
  readonly tls?: TlsConfig;
  /** Database for statements that concern the whole cluster. */
  readonly maintenanceDatabase: string;
}

export type ServiceConfig =
  | { readonly kind: 'pg_ctl' }
  | { readonly kind: 'pg_ctlcluster'; readonly version: string; readonly name: string }
  | { readonly kind: 'hook'; readonly start: readonly string[]; readonly stop: readonly string[] };

export interface RetentionConfig {
  readonly days?: number;
  readonly count?: number;
  readonly daily?: number;
  readonly weekly?: number;
  readonly monthly?: number;
  readonly yearly?: number;
  /** So many proven backups always stay, however old. */
  readonly minProven: number;
  /** Most deletions in one run; more is refused, because it smells of a wrong clock or a wrong setting. */
  readonly maxDeletions: number;
}

export interface ScheduleConfig {
  /** Five fields, in `timezone`. Where both day fields are restricted, both must match: Temporal's rule, not that of cron. */
  readonly cron: string;
  /** As IANA has it; absent: UTC. */
  readonly timezone?: string;
  readonly catchUpSeconds: number;
}

/** How what a policy writes is encrypted: with age, for everybody whose public key is named. */
export interface EncryptionConfig {
  /** Public keys (`age1...`); each of their private keys alone opens what is written. */
  readonly recipients: readonly string[];
  /** Further public keys, one a line; read on the host. */
  readonly recipientsFile?: string;
  /** Where this host gets a private key; absent: it writes what it cannot read. */
  readonly identity?: { readonly file: string } | { readonly command: readonly string[] };
}

export type ProofDemand = 'none' | 'verify' | 'restore';

export interface PolicyConfig {
  readonly name: string;
  /** Names it had before: backups made under them are its own. */
  readonly previousNames?: readonly string[];
  readonly cluster: string;
  /** A kind of the engine registry. */
  readonly engine: string;
  readonly repository: string;
  readonly enabled: boolean;
  readonly schedule?: ScheduleConfig;
  readonly retention: RetentionConfig;
  readonly proof: ProofDemand;
  /** Each n-th backup of a database (or of the cluster) is restore-tested too; absent: as `proof` says. */
  readonly restoreEvery?: number;
  /** Its own, or that of its repository. */
  readonly encryption?: EncryptionConfig;
  /** What the engine's own schema parsed. */
  readonly options: Readonly<Record<string, unknown>>;
}

/** One table, and what a repair of it does beside changing its rows. */
export interface TableConfig {
  readonly table: TableName;
  readonly database: string;
  /** Absent: writes of others are not blocked. */
  readonly freeze?: FreezeMeans;
  /** Hooks that stop what writes to it, in their order; each has an undo. */
  readonly hooks: readonly string[];
  /** From which change on its rows are suspicious after a backup; null: never; absent: as those of other tables. */
  readonly suspect?: SuspicionRule | null;
  /** Who says whether a repair is good before the table is opened; absent: nobody is asked. */
  readonly signOff?: SignOffPolicy;
  /** So long its rows are counted after a repair; absent: not at all. */
  readonly watchSeconds?: number;
  /** Queries that are true of a coherent table, by name. */
  readonly invariants?: Readonly<Record<string, InvariantConfig>>;
}

export interface InvariantConfig {
  readonly name: string;
  /** Gives one row with one boolean. */
  readonly query: string;
  readonly timeoutSeconds: number;
}

export interface HookConfig {
  readonly name: string;
  readonly argv: readonly string[];
  readonly host: string;
  readonly timeoutSeconds: number;
  readonly undo?: string;
}

export interface CheckConfig {
  readonly name: string;
  /** A kind of the checks registry. */
  readonly type: string;
  /** It is not run, and a kind that every drill runs is left out of drills. Absent: it is run. */
  readonly enabled?: false;
  readonly options: Readonly<Record<string, unknown>>;
}

export interface ApprovalPolicy {
  readonly approvers: number;
  readonly from: readonly string[];
  readonly requesterMayApprove: boolean;
  readonly approveWithinSeconds: number;
  readonly executeWithinSeconds: number;
  /** `required` is refused until signatures exist: a promise that could not be kept is not accepted. */
  readonly signatures: 'none' | 'required';
  /** No policy of the file: a confirmation on the host counts in its place. */
  readonly byConfirmation?: true;
  /** The server has to know the sender as the person named: see `principalOf`. */
  readonly matchPrincipal?: boolean;
  /** Then by person of `from`: the principal that the server knows them as; who has none goes by the name. */
  readonly principals?: Readonly<Record<string, string>>;
}

export interface RecoveryTargetPlace {
  readonly name: string;
  readonly host: string;
  readonly dataDir: string;
  readonly port: number;
}

/**
 * What becomes of the data that a recovery replaces. `aside`: renamed beside it; `aside-on`: copied below `path`, for a
 * mount point cannot be renamed; `overwrite-delta`: lost, where there is room for nothing else.
 */
export type OldDataConfig =
  | { readonly mode: 'aside' }
  | { readonly mode: 'aside-on'; readonly path: string }
  | { readonly mode: 'overwrite-delta' };

/** A restore drill: where to, with what, when, and who says that it was good. */
export interface DrillConfig {
  readonly host: string;
  /** Staging may be on the cluster's own host. */
  readonly allowSameHost: boolean;
  readonly dataDir: string;
  readonly port: number;
  /** Kinds of engine or names of policies, in this order; empty: every enabled policy in turn. */
  readonly engines: readonly string[];
  readonly at: 'random' | 'latest';
  /** Absent: nobody is asked, and the checks alone decide. */
  readonly signOff?: SignOffPolicy;
  readonly schedule: ScheduleConfig;
  /** Runs on the staging host before people are let in. */
  readonly mask?: { readonly argv: readonly string[]; readonly timeoutSeconds: number };
}

/** Temporary instances that people look at: how long one stays, and how many a host has at once. */
export interface ExploreConfig {
  readonly ttlSeconds: number;
  readonly max: number;
  /** They are reached by a Unix socket of their host. */
  readonly listen: 'socket';
}

export const EXPLORE: ExploreConfig = { ttlSeconds: 7200, max: 3, listen: 'socket' };

export interface ClusterConfig {
  readonly name: string;
  readonly host: string;
  readonly connection: ConnectionConfig;
  readonly dataDir?: string;
  /** Absent: `unprivileged`. */
  readonly restoreAs?: RestoreAs;
  /** Role of SQL checks and of `objects_query`: no superuser. Absent: see `queryConnection`. */
  readonly checksRole?: string;
  readonly service?: ServiceConfig;
  readonly databases: readonly string[];
  /** Name of the repository that holds the records of this cluster. */
  readonly catalogue: string;
  readonly objectives: { readonly rtoSeconds?: number; readonly rpoSeconds?: number };
  readonly watch?: { readonly everySeconds: number; readonly failures: number };
  readonly policies: Readonly<Record<string, PolicyConfig>>;
  readonly recovery: {
    readonly oldData: OldDataConfig;
    readonly targets: Readonly<Record<string, RecoveryTargetPlace>>;
    readonly steps: readonly RecoveryStepName[];
  };
  /** By name: folders from which dumps of before Reprise are adopted; absent: none. */
  readonly importFolders?: Readonly<Record<string, string>>;
  readonly hooks: Readonly<Record<string, HookConfig>>;
  readonly checks: Readonly<Record<string, CheckConfig>>;
  /** Absent: no drills, which `doctor` says. */
  readonly drill?: DrillConfig;
  /** Temporary instances that people look at; absent: {@link EXPLORE}. */
  readonly explore?: ExploreConfig;
  /** By `schema.table` as the file has it: how it is repaired; absent: no table is configured. */
  readonly tables?: Readonly<Record<string, TableConfig>>;
  /** By database: a query that says which migrations were applied, and when; absent: the migration tables of known tools. */
  readonly migrations?: Readonly<Record<string, { readonly query: string; readonly timeoutSeconds: number }>>;
  /** A row that is written at an interval and has to come back; absent: none. */
  readonly canary?: { readonly database: string; readonly everySeconds: number };
  /** By action: `recover`, `kept-drop`... Without an entry it is refused, or confirmed on the host. */
  readonly approvals: Readonly<Record<string, ApprovalPolicy>>;
}
