/**
 * Names with which Temporal's client says that an execution is closed. Everything else is not: running, paused (server 1.30 and
 * later), or a status that is newer than this program.
 */
const CLOSED = ['COMPLETED', 'FAILED', 'CANCELLED', 'TERMINATED', 'TIMED_OUT', 'CONTINUED_AS_NEW'];

/** Whether an execution of this status does nothing more. */
export function isClosedStatus(status: string): boolean {
  return CLOSED.includes(status);
}

/** Paused in Temporal (`temporal workflow pause`): it goes on when somebody unpauses it. */
export function isPausedStatus(status: string): boolean {
  return status === 'PAUSED';
}

/** For a list of workflows: what is not closed. `ExecutionStatus = 'Running'` leaves paused ones out. */
export const OPEN_EXECUTIONS = 'CloseTime IS NULL';
