import type { JobView, Progress } from './progress.js';

/** States of any long work, as the search attribute `RepriseState` and `status` show them. */
export type OperationState =
  | 'suspected'
  | 'running'
  | 'waiting-approval'
  | 'waiting-worker'
  | 'waiting-thaw'
  | 'waiting-sign-off'
  | 'cannot-look'
  | 'paused'
  | 'completed'
  | 'failed'
  | 'rejected'
  | 'cancelled';

/** In these states nothing happens before a person does something. */
const WAITS_FOR_PERSON: ReadonlySet<string> = new Set<OperationState>([
  'suspected',
  'waiting-approval',
  'waiting-worker',
  'waiting-sign-off',
  'cannot-look',
  'paused',
]);

export function waitsForPerson(state: string): boolean {
  return WAITS_FOR_PERSON.has(state);
}

/** Answer of the query `status`; the command line adds `workflowId`, `progress`, `jobs` and `webUi`. */
export interface OperationStatusView {
  readonly kind:
    | 'backup'
    | 'rotate'
    | 'verify'
    | 'adopt'
    | 'recover'
    | 'media'
    | 'verify-media'
    | 'kept-drop'
    | 'release'
    | 'storage-apply'
    | 'drill'
    | 'drill-overdue'
    | 'explore'
    | 'table-compare'
    | 'table-repair'
    | 'table-freeze'
    | 'table-locate'
    | 'table-blast-radius'
    | 'daily-check'
    | 'incident'
    | 'watch'
    | 'archive'
    | 'notify';
  readonly cluster: string;
  /** Key prefix of its jobs, so that a view can look them up when no heartbeat carries them any more. */
  readonly operationId?: string;
  readonly state: OperationState;
  /** What a person is waited for, in words, with what to type next; null where nothing is. */
  readonly waitingFor: string | null;
  /** Digest of the plan that waits for approval or under way. */
  readonly plan: string | null;
  readonly phase: string;
  readonly phases: readonly PhaseTime[];
}

/** Seconds one named phase took; a phase without an end is the present one. */
export interface PhaseTime {
  readonly name: string;
  readonly startedAt: string;
  readonly seconds: number | null;
}

/** A worker that sends no heartbeat for so long counts as lost, unless its host's config says otherwise. */
export const HEARTBEAT_SECONDS = 10;

/**
 * Seconds without a heartbeat after which a watch or a WAL receiver counts as lost. Longer than for other activities:
 * these run all the time, so their heartbeats are most of what Reprise sends to Temporal.
 */
export function watchHeartbeatSeconds(
  host: { readonly heartbeatSeconds?: number; readonly watchHeartbeatSeconds?: number } | undefined,
): number {
  return host?.watchHeartbeatSeconds ?? 6 * (host?.heartbeatSeconds ?? HEARTBEAT_SECONDS);
}

/** What an activity's heartbeat carries. */
export interface HeartbeatDetails {
  readonly progress?: Progress;
  readonly job?: JobView;
  /** Where the next attempt goes on: what is before is done. */
  readonly cursor?: string;
}
