import type { Plan } from '../plan/plan.js';
import type { TableSuspicion } from '../table/history.js';

/** What people may be told of, as `notify:` of reprise.yml names it. */
export const notifyEvents = [
  'failure',
  'waiting-approval',
  'incident',
  'recovered',
  'drill-failed',
  'drill-overdue',
  'daily-check',
  'sign-off',
  'suspicion',
] as const;
/** `run`: what a service outside is told of every scheduled run; no event of `notify:`. */
export type NotifyEvent = (typeof notifyEvents)[number] | 'run';

/** Where `notify:` does not name an event, it is told as that one: an alarm needs no key of its own. */
export const toldAs: Readonly<Partial<Record<NotifyEvent, NotifyEvent>>> = {
  'drill-failed': 'failure',
  'drill-overdue': 'failure',
  'daily-check': 'failure',
  'sign-off': 'waiting-approval',
  suspicion: 'incident',
};

/**
 * The facts of one notification; its words are made when it is sent. They live in histories: no secret and no row value,
 * a field may be added, none renamed.
 */
export type NoticeFacts =
  | {
      readonly kind: 'failed';
      readonly what:
        | 'backup'
        | 'rotation'
        | 'recovery'
        | 'media recovery'
        | 'table repair'
        | 'table freeze'
        | 'WAL'
        | 'watch'
        | 'daily check';
      readonly policy: string | null;
      readonly code: string;
      readonly reason: string;
      readonly hint: string | null;
      /** When the work began, UTC ISO-8601. */
      readonly since: string;
    }
  /** A step of a recovery failed, or its data wants a look: it goes on when a person says how. */
  | {
      readonly kind: 'paused';
      readonly event: 'failure' | 'waiting-approval';
      readonly waitingFor: string;
      /** Whose approval policy names who may decide; absent: that of `recover`; null: nobody approves it, as a backup. */
      readonly action?: string | null;
      /** The step that fails; absent: a step of a recovery. */
      readonly step?: string;
    }
  /** A run that was due did not take place. */
  | {
      readonly kind: 'skipped';
      readonly policy: string;
      /** UTC ISO-8601; null where it was started by hand. */
      readonly due: string | null;
      readonly reason: string;
    }
  | { readonly kind: 'approval'; readonly plan: Plan }
  /** A plan of which people were told needs no decision any more. */
  | { readonly kind: 'ended'; readonly plan: string; readonly text: string }
  /** A person has the watch of the cluster pause, or it looks again. */
  | {
      readonly kind: 'watch';
      readonly state: 'paused' | 'resumed';
      readonly by: string;
      readonly reason: string;
      /** When it looks again by itself, UTC ISO-8601; null: when somebody resumes it. */
      readonly until: string | null;
    }
  | {
      readonly kind: 'incident';
      readonly scenario: string;
      readonly state: 'suspected' | 'confirmed' | 'undecided' | 'closed' | 'dismissed';
      readonly text: string;
      readonly by: string;
      /** First failed check, or hour of discovery, UTC ISO-8601; null where the incident was opened by hand. */
      readonly since: string | null;
      /** `DATABASE schema.table`, of an incident of one table. */
      readonly table?: string;
    }
  | {
      readonly kind: 'recovered';
      readonly reached: string;
      readonly rtoSeconds: number;
      readonly rpoSeconds: number | null;
      readonly leavesProduction?: true;
      readonly report: string;
    }
  /** A drill failed, or came to no verdict, or did not take place: the quality register has it. */
  | {
      readonly kind: 'drill';
      readonly state: 'failed' | 'incomplete' | 'overdue';
      readonly reason: string;
      /** What somebody can do, where the failure says it. */
      readonly hint?: string | undefined;
      /** When it has to be made good, UTC ISO-8601; absent: it opened no entry. */
      readonly dueAt?: string | undefined;
    }
  /** What a daily check found, and what is over that an earlier one had found. */
  | {
      readonly kind: 'daily-check';
      readonly found: readonly {
        readonly message: string;
        readonly fix: string | null;
        /** UTC ISO-8601. */
        readonly since: string;
      }[];
      readonly over: readonly string[];
    }
  /** What a drill restored waits for a person's word. */
  | {
      readonly kind: 'sign-off';
      readonly stage: 'asked' | 'reminder' | 'escalation';
      /** Names of contacts. */
      readonly by: readonly string[];
      /** Where staging is: no password. */
      readonly connection: string;
      /** UTC ISO-8601. */
      readonly until: string;
    }
  /** Rows of tables changed abnormally from one backup to the next. */
  | {
      readonly kind: 'suspicion';
      readonly policy: string;
      /** The first ones, without a value of a row. */
      readonly tables: readonly TableSuspicion[];
      /** How many there are besides. */
      readonly more: number;
    }
  /** A repaired table waits for a person's word, or got none, or a bad one. */
  | {
      readonly kind: 'repair-sign-off';
      readonly stage: 'asked' | 'reminder' | 'escalation' | 'failed' | 'unanswered';
      readonly by: readonly string[];
      /** Of which database, as `schema.table`. */
      readonly database: string;
      readonly table: string;
      /** What takes the repair back. */
      readonly undo: string;
      /** UTC ISO-8601: then the table is opened. */
      readonly until: string;
    }
  /** The rows of a table that was repaired change more than usual. */
  | {
      readonly kind: 'table-volume';
      readonly database: string;
      readonly table: string;
      /** With the figures. */
      readonly found: string;
    }
  /** A scheduled run has begun, or ended; `work`: the policy, or `drill`. */
  | {
      readonly kind: 'run';
      readonly work: string;
      readonly state: 'started' | 'succeeded' | 'failed';
    }
  | { readonly kind: 'test'; readonly contact: string; readonly notifier: string | null; readonly by: string };

/** One notification as a workflow hands it over. */
export interface Notice {
  /** null for a test. */
  readonly cluster: string | null;
  readonly operationId: string;
  readonly workflowId: string;
  /** Names this notification among those of its operation: the same after a retry and after a Reset. */
  readonly key: string;
  /** UTC ISO-8601. */
  readonly at: string;
  readonly facts: NoticeFacts;
}

/** The event that decides who is told; null for a test, which names its contact. */
export function eventOf(facts: NoticeFacts): NotifyEvent | null {
  switch (facts.kind) {
    case 'failed':
    case 'skipped':
      return 'failure';
    case 'paused':
      return facts.event;
    case 'approval':
    case 'ended':
      return 'waiting-approval';
    case 'watch':
      return 'incident';
    case 'drill':
      return facts.state === 'overdue' ? 'drill-overdue' : 'drill-failed';
    case 'repair-sign-off':
      return 'sign-off';
    case 'table-volume':
      return 'failure';
    case 'test':
      return null;
    default:
      return facts.kind;
  }
}
