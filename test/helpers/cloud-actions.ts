/** An event as the SDK gives it (number) or as the JSON of a history has it (name). */
export interface HistoryEvent {
  readonly eventType?: number | string | null;
  readonly activityTaskStartedEventAttributes?: { readonly attempt?: number | null } | null;
}

/**
 * What one execution costs on Temporal Cloud, in actions, as https://docs.temporal.io/cloud/actions counts them (read in
 * 2026): a start, each attempt of an activity, a timer, an upsert of search attributes, a signal, an accepted update, and
 * two for each child. Heartbeats and queries leave no event: they are counted apart.
 */
export function cloudActions(events: readonly HistoryEvent[]): {
  readonly total: number;
  readonly byKind: Readonly<Record<string, number>>;
} {
  const byKind: Record<string, number> = {};
  const add = (kind: string, actions: number): void => void (byKind[kind] = (byKind[kind] ?? 0) + actions);
  for (const event of events) {
    const [kind, actions] = costs[nameOf(event)] ?? [];
    if (kind !== undefined && actions !== undefined) add(kind, actions);
    // The history has one event for all attempts; the first one is that of the schedule.
    const again = Number(event.activityTaskStartedEventAttributes?.attempt ?? 1) - 1;
    if (again > 0) add('retries', again);
  }
  return { total: Object.values(byKind).reduce((sum, actions) => sum + actions, 0), byKind };
}

const costs: Readonly<Record<string, readonly [kind: string, actions: number]>> = {
  WORKFLOW_EXECUTION_STARTED: ['starts', 1],
  ACTIVITY_TASK_SCHEDULED: ['activities', 1],
  TIMER_STARTED: ['timers', 1],
  UPSERT_WORKFLOW_SEARCH_ATTRIBUTES: ['search attributes', 1],
  WORKFLOW_EXECUTION_SIGNALED: ['signals', 1],
  WORKFLOW_EXECUTION_UPDATE_ACCEPTED: ['updates', 1],
  // One for asking for it; its start is an event of its own history.
  START_CHILD_WORKFLOW_EXECUTION_INITIATED: ['children', 1],
  MARKER_RECORDED: ['markers', 1],
};

/** Numbers of Temporal's API, for the events that cost something. */
const names: Readonly<Record<number, string>> = {
  1: 'WORKFLOW_EXECUTION_STARTED',
  10: 'ACTIVITY_TASK_SCHEDULED',
  17: 'TIMER_STARTED',
  25: 'MARKER_RECORDED',
  26: 'WORKFLOW_EXECUTION_SIGNALED',
  29: 'START_CHILD_WORKFLOW_EXECUTION_INITIATED',
  40: 'UPSERT_WORKFLOW_SEARCH_ATTRIBUTES',
  41: 'WORKFLOW_EXECUTION_UPDATE_ACCEPTED',
};

function nameOf({ eventType }: HistoryEvent): string {
  return typeof eventType === 'string' ? eventType.replace(/^EVENT_TYPE_/, '') : (names[eventType ?? 0] ?? '');
}
