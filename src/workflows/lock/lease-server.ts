import {
  CancellationScope,
  allHandlersFinished,
  condition,
  defineQuery,
  defineUpdate,
  getExternalWorkflowHandle,
  log,
  setHandler,
} from '@temporalio/workflow';
import {
  type Held,
  type LeaseAnswer,
  type LeaseChange,
  type LeaseClaim,
  type LeaseOwner,
  type LeaseRequest,
  type LeaseRule,
  type LeaseState,
  leave,
  noLeases,
  request,
  restore,
} from '../../domain/operation/lease.js';
import { queryNames, signalNames, updateNames } from '../../domain/operation/names.js';
import { followActivities } from '../operation/activity-proxies.js';
import { isNewRunDue } from '../operation/continue-as-new.js';
import { isCancelled, refusal } from '../operation/operation-status.js';

/** The workflow ends when nobody has held or asked for so long; the next request starts it again. */
const IDLE = '10m';

/** Who is under way, for a resource that has lost its state. */
export interface UnderWay<C> {
  readonly held: readonly Held<C>[];
  /** They stood in the queue that was lost, and ask again when they are told. */
  readonly waiting: readonly LeaseOwner[];
  /** The greatest token that was ever seen. */
  readonly lastToken: number;
}

/**
 * Serves one resource: feeds the state machine of `domain/operation/lease.ts` with requests, releases and closed executions, and
 * tells by a signal who was granted from the queue. While somebody waits, one activity follows the executions that hold or wait.
 */
export class LeaseServer<C extends LeaseClaim> {
  private state: LeaseState<C>;
  private isKnown: boolean;
  private untold: readonly LeaseOwner[] = [];
  private followed: { readonly owners: string; readonly scope: CancellationScope } | null = null;

  /** `state` absent: the workflow was lost with its state, and asks who is under way before it grants anything. */
  constructor(
    private readonly rule: LeaseRule<C>,
    state: LeaseState<C> | undefined,
    private readonly lookUp: () => Promise<UnderWay<C>>,
  ) {
    this.state = state ?? noLeases;
    this.isKnown = state !== undefined;
    setHandler(defineQuery<readonly Held<C>[]>(queryNames.holders), () => this.state.holders);
    setHandler(
      defineUpdate<LeaseAnswer<C>, [LeaseRequest<C>]>(updateNames.acquire),
      async (asked) => {
        await condition(() => this.isKnown);
        const { answer, ...change } = request(this.rule, this.state, asked, Date.now());
        this.keep(change);
        return answer;
      },
      {
        description: 'acquire it; sent by workflows, not by people',
        validator: (asked) => assertOwner((asked as Partial<LeaseRequest<C>> | null)?.claim),
      },
    );
    setHandler(
      defineUpdate<void, [LeaseOwner & { token?: number }]>(updateNames.release),
      async (owner) => {
        await condition(() => this.isKnown);
        this.keep(leave(this.rule, this.state, owner, Date.now(), owner.token));
      },
      { description: 'release it; sent by workflows, not by people', validator: assertOwner },
    );
  }

  /** Until nobody needs it any more; 'continue' with the state when the history has grown long. */
  async serve(): Promise<{ readonly continueWith: LeaseState<C> } | 'idle'> {
    if (!this.isKnown) {
      const { held, waiting, lastToken } = await this.lookUp();
      this.state = restore(this.rule, { ...noLeases, lastToken }, held);
      this.untold = waiting;
      this.isKnown = true;
    }
    for (;;) {
      await this.tell();
      this.follow();
      const before = this.state;
      const moved = await condition(() => this.state !== before || isNewRunDue(), IDLE);
      await condition(allHandlersFinished);
      if (isNewRunDue()) {
        await this.tell();
        this.followed?.scope.cancel();
        return { continueWith: this.state };
      }
      if (!moved && this.state.holders.length === 0 && this.state.queue.length === 0) return 'idle';
    }
  }

  private keep({ state, granted }: LeaseChange<C>): void {
    this.state = state;
    this.untold = [...this.untold, ...granted];
  }

  /** Who cannot be told is gone, which is seen when the next one asks, or asks again by itself. */
  private async tell(): Promise<void> {
    while (this.untold.length > 0) {
      const owners = this.untold;
      this.untold = [];
      for (const { workflowId } of owners) {
        await getExternalWorkflowHandle(workflowId)
          .signal(signalNames.leaseGranted)
          .catch((error: unknown) => {
            if (isCancelled(error)) throw error;
            log.warn('the one that waited could not be told', { workflowId });
          });
      }
    }
  }

  /** Follows the executions of all that hold or wait, as long as one waits. */
  private follow(): void {
    const { holders, queue } = this.state;
    const owners =
      queue.length === 0 ? [] : [...holders, ...queue].map(({ workflowId, runId }) => ({ workflowId, runId }));
    const named = JSON.stringify(owners);
    if (named === (this.followed?.owners ?? '[]')) return;
    this.followed?.scope.cancel();
    if (owners.length === 0) {
      this.followed = null;
      return;
    }
    const scope = new CancellationScope();
    this.followed = { owners: named, scope };
    const following = scope.run(async () => {
      const closed = await followActivities('wait for the end of those that hold it').awaitClosed({ owners });
      this.followed = null;
      this.keep(leave(this.rule, this.state, closed, Date.now()));
    });
    following.catch((error: unknown) => {
      if (!isCancelled(error)) log.warn('those that hold it could not be followed', { error });
    });
  }
}

/** A malformed request is refused before it is taken: it would hold the resource for nobody. */
function assertOwner(owner: Partial<LeaseOwner> | null | undefined): void {
  if (typeof owner?.workflowId !== 'string' || typeof owner.runId !== 'string')
    throw refusal('usage', 'whose lock it is must be named by workflowId and runId');
}
