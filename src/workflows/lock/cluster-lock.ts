import {
  allHandlersFinished,
  condition,
  continueAsNew,
  defineQuery,
  defineUpdate,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import { conflicts } from '../../domain/operation/locks.js';
import { queryNames, updateNames } from '../../domain/operation/names.js';
import type { LockAnswer, LockHolder, LockInput, LockRequest } from '../api.js';

const acquire = defineUpdate<LockAnswer, [LockRequest]>(updateNames.acquire);
const release = defineUpdate<void, [{ operationId: string }]>(updateNames.release);
const holders = defineQuery<readonly LockHolder[]>(queryNames.holders);

/**
 * Who holds the lock of a cluster, for what, since when. One workflow per cluster; it ends when nobody holds it for some
 * minutes, and the next request starts it again. Tokens grow over restarts and over a lost Temporal server, because they start from the clock.
 */
export async function clusterLock(input: LockInput): Promise<void> {
  let held: readonly LockHolder[] = input.holders ?? [];
  let lastToken = input.lastToken ?? 0;

  setHandler(holders, () => held);
  setHandler(
    acquire,
    (request) => {
      const own = held.find((holder) => holder.operationId === request.operationId && holder.kind === request.kind);
      if (own) return { granted: true, token: own.token };
      const other = held.find((holder) => holder.operationId !== request.operationId && conflicts(holder, request));
      if (other) return { granted: false, holder: other };
      lastToken = Math.max(lastToken + 1, Date.now());
      held = [...held, { ...request, since: new Date().toISOString(), token: lastToken }];
      return { granted: true, token: lastToken };
    },
    { description: 'acquire the cluster lock; sent by workflows, not by people' },
  );
  setHandler(
    release,
    ({ operationId }) => {
      held = held.filter((holder) => holder.operationId !== operationId);
    },
    { description: 'release the cluster lock; sent by workflows, not by people' },
  );

  for (;;) {
    const before = held;
    const moved = await condition(() => held !== before || workflowInfo().continueAsNewSuggested, '10m');
    await condition(allHandlersFinished);
    if (workflowInfo().continueAsNewSuggested)
      await continueAsNew<typeof clusterLock>({ cluster: input.cluster, holders: held, lastToken });
    if (!moved && held.length === 0) return;
  }
}
