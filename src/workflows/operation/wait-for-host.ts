import {
  ActivityFailure,
  ApplicationFailure,
  CancellationScope,
  condition,
  isCancellation,
} from '@temporalio/workflow';
import type { OperationState } from '../../domain/operation/status.js';
import { awaitHostWorker, controlActivities } from './activity-proxies.js';
import type { Notifications } from './notifications.js';
import type { OperationStatus } from './operation-status.js';

/** After so long without a worker of the host, people are notified. */
const NOTIFY_AFTER = '1m';

/** Runs a wait, and may end it early. */
export type Waiter = (wait: () => Promise<void>) => Promise<void>;

/**
 * Waits until a worker of the host runs; says so meanwhile, and notifies people once: a time-out would not say what is
 * missing. The wait is one activity in the host's queue, which costs nothing however long it lasts.
 * @param waiter stops waiting where somebody decides so.
 * @returns whether it had to wait
 */
export async function waitForHost(
  host: string,
  { status, notifications }: { readonly status: OperationStatus; readonly notifications: Notifications },
  waiter: Waiter = (wait) => wait(),
): Promise<boolean> {
  if (await controlActivities.hostAnswers({ host })) return false;
  const waitingFor = hostWorkerMissing(host);
  status.show('waiting-worker', waitingFor);
  await sayIfLong(
    waiter(() => untilTaken(host)),
    () => notifications.notify({ kind: 'paused', event: 'failure', waitingFor }),
  );
  return true;
}

/** Runs a wait that ends when somebody decides so. */
export async function waitUnless(decided: () => boolean, wait: () => Promise<void>): Promise<void> {
  const scope = new CancellationScope();
  let isOver = false;
  const waiting = scope.run(wait).catch((error: unknown) => {
    if (!decided() || !isCancellation(error)) throw error;
  });
  const stop = condition(() => isOver || decided()).then(() => scope.cancel());
  await Promise.all([waiting.finally(() => (isOver = true)), stop]);
}

/**
 * Records on the host how an operation ended. A host that is away gets the record when its worker runs again; until then
 * the operation stays open in its last state, and says why.
 */
export async function recordEnd(
  { host, status }: { readonly host: string; readonly status: OperationStatus },
  state: OperationState,
  record: () => Promise<void>,
): Promise<void> {
  status.show(state);
  await sayIfLong(record(), () =>
    status.show(state, `the record of it on its host, which is made later: ${hostWorkerMissing(host)}`),
  );
}

/** Waits for the end of `work`, and says once that it takes long. */
export async function sayIfLong<T>(work: Promise<T>, say: () => Promise<void> | void): Promise<T> {
  let isOver = false;
  const working = work.finally(() => (isOver = true));
  const saying = condition(() => isOver, NOTIFY_AFTER).then((inTime) => (inTime ? undefined : say()));
  const [done] = await Promise.all([working, saying]);
  return done;
}

async function untilTaken(host: string): Promise<void> {
  try {
    await awaitHostWorker(host);
  } catch (error) {
    // A worker of an older version does not know this activity: it runs.
    if (!(error instanceof ActivityFailure && error.cause instanceof ApplicationFailure)) throw error;
  }
}

/** What is waited for, with what to type. */
export function hostWorkerMissing(host: string): string {
  return `the host's worker is not running: start it with \`reprise worker --host ${host}\` on host "${host}"`;
}
