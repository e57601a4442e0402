import {
  allHandlersFinished,
  CancellationScope,
  condition,
  currentUpdateInfo,
  defineQuery,
  defineUpdate,
  log,
  setHandler,
} from '@temporalio/workflow';
import { waitingLabel } from '../../domain/approval/approval-policy.js';
import { parseExtension, parseMove, parseSender } from '../../domain/explore/explore-messages.js';
import { openedDetails, plannedDetails } from '../../domain/explore/explore-text.js';
import type { OpenedInstance } from '../../domain/explore/instance.js';
import { queryNames, updateNames } from '../../domain/operation/names.js';
import { formatTarget } from '../../domain/target/target.js';
import { markdownText } from '../../domain/text/markdown.js';
import type { ExploreInput, ExploreOutput, ExploreView } from '../api.js';
import { hostActivities } from '../operation/activity-proxies.js';
import { conditionWithSummary } from '../operation/approval-inbox.js';
import { Operation } from '../operation/open-operation.js';
import { failureOf, isCancelled, refusal, runOperation } from '../operation/operation-status.js';
import { shapeValidator, StepInbox } from '../operation/step-people.js';
import { keepInstanceRunning, moveTemporaryInstance, withTemporaryInstance } from './temporary-instance.js';

/** Of its operation there is this one. */
const INSTANCE = 'look';
const SENDER = '{"by":"<your name>"}';
const EXTENSION = '{"by":"<your name>","ttl":"2h"}';
const MOVE = '{"by":"<your name>","to":"<target>"}';

/**
 * A temporary instance that people look at: restored, kept until its time is over or somebody drops it, moved forward when asked, and
 * removed. It runs beside everything else, needs no approval, and changes nothing of production.
 */
export function explore(input: ExploreInput): Promise<ExploreOutput> {
  const one = new Explore(input);
  return runOperation(one.operation.status, () => one.run());
}

class Explore {
  readonly operation: Operation;
  private readonly scope = new CancellationScope();
  private instance: OpenedInstance | null = null;
  private expiresAt: string | null = null;
  private droppedBy: string | null = null;
  private state: 'early' | 'open' | 'closed' = 'early';
  /** One change at a time. */
  private busy = false;

  constructor(private readonly input: ExploreInput) {
    const { cluster, operationId } = input;
    this.operation = new Operation('explore', { cluster, operationId });
    this.operation.people = new StepInbox((text, sentBy) => this.operation.recordMessage(text, sentBy));
    setHandler(defineQuery<ExploreView>(queryNames.instance), () => this.view(), {
      description: 'the temporary instance, and how people get in',
    });
    setHandler(defineUpdate<ExploreView, [unknown]>(updateNames.extendInstance), (raw) => this.extend(raw), {
      description: `it stays for so long from now on: ${EXTENSION}`,
      validator: shapeValidator(parseExtension, EXTENSION),
    });
    setHandler(defineUpdate<ExploreView, [unknown]>(updateNames.moveInstance), (raw) => this.move(raw), {
      description: `move it to a later target: ${MOVE}`,
      validator: shapeValidator(parseMove, MOVE),
    });
    setHandler(defineUpdate<ExploreView, [unknown]>(updateNames.connectInstance), (raw) => this.connect(raw), {
      description: `say how to get in, and write down who asked: ${SENDER}`,
      validator: shapeValidator(parseSender, SENDER),
    });
    setHandler(defineUpdate<{ dropped: true }, [unknown]>(updateNames.dropInstance), (raw) => this.drop(raw), {
      description: `stop and remove it now: ${SENDER}`,
      validator: shapeValidator(parseSender, SENDER),
    });
  }

  async run(): Promise<ExploreOutput> {
    const { operation, input } = this;
    try {
      await operation.lookUp();
      operation.host = input.order.host ?? operation.host;
      await this.scope.run(() => this.restoreAndKeep());
    } catch (error) {
      // Whoever dropped it has what was asked for.
      if (this.droppedBy === null || !isCancelled(error)) throw error;
    } finally {
      this.state = 'closed';
      await CancellationScope.nonCancellable(async () => {
        if (!(await condition(allHandlersFinished, '2m'))) log.warn('a message was not answered');
      });
    }
    const ended = this.droppedBy === null ? 'its time is over' : `dropped by ${this.droppedBy}`;
    operation.status.show('completed', null, `The temporary instance was removed: ${markdownText(ended)}.`);
    return { ended: this.droppedBy === null ? 'expired' : 'dropped', by: this.droppedBy };
  }

  private async restoreAndKeep(): Promise<void> {
    const { operation, input } = this;
    const { host: _host, ...order } = input.order;
    await operation.waitForHost();
    await withTemporaryInstance(
      operation,
      {
        ...{ instance: INSTANCE, order, requester: input.requester, purpose: 'explore', ends: true },
        onPlan: (plan) => operation.status.show('running', null, plannedDetails(plan)),
      },
      (opened) => this.keep(opened),
    );
  }

  /** Until its time is over, or somebody drops it. */
  private async keep(opened: OpenedInstance): Promise<void> {
    this.instance = opened;
    this.expiresAt = opened.expiresAt;
    this.state = 'open';
    await this.operation.status.phase('keep the temporary instance', async () => {
      while (!this.isDropped) {
        this.showOpen();
        const until = this.expiresAt;
        const ms = until === null ? 0 : Date.parse(until) - Date.now();
        // A change that is under way is ended first.
        if (ms <= 0 && !this.busy) return;
        const changed = (): boolean => this.isDropped || this.expiresAt !== until;
        const label = waitingLabel(`the end of its time, ${minute(until)}`);
        if (ms > 0) await conditionWithSummary(label, changed, ms);
        else await condition(() => !this.busy || changed());
      }
    });
    this.droppedBy ??= this.operation.people.rejectedBecause?.by ?? null;
    await condition(() => !this.busy);
  }

  private get isDropped(): boolean {
    return this.droppedBy !== null || this.operation.people.rejectedBecause !== null;
  }

  private showOpen(): void {
    const { instance, expiresAt, operation } = this;
    if (instance === null) return;
    const { operationId } = operation.step;
    operation.status.show(
      'running',
      `the end of its time, ${minute(expiresAt)}: \`reprise explore connect ${operationId}\` looks at it, \`reprise explore extend ${operationId} --ttl 2h\` keeps it longer, \`reprise explore drop ${operationId}\` removes it now`,
      openedDetails(instance, minute(expiresAt)),
    );
  }

  private view(): ExploreView {
    const { operation, input, instance, expiresAt } = this;
    return {
      id: operation.step.operationId,
      cluster: operation.step.cluster,
      host: operation.host,
      requester: input.requester,
      requested: formatTarget(input.order.target),
      instance: instance === null ? null : { ...instance, expiresAt },
    };
  }

  private async extend(raw: unknown): Promise<ExploreView> {
    const said = parsed(parseExtension(raw));
    await this.change(async (instance) => {
      const until = new Date(Date.now() + said.ttlSeconds * 1000).toISOString();
      if (this.expiresAt !== null && until <= this.expiresAt)
        throw refusal(
          'conflict',
          `it stays until ${minute(this.expiresAt)} already`,
          'give a longer time, or remove it: reprise explore drop ID',
        );
      const { host, step } = this.operation;
      const extended = await hostActivities(host, 'keep the temporary instance longer').extendInstance({
        ...{ ...step, instance: INSTANCE, until },
      });
      this.expiresAt = extended.expiresAt;
      await this.note(`${said.by} keeps the temporary instance until ${this.expiresAt}`);
      return instance;
    });
    return this.view();
  }

  private async move(raw: unknown): Promise<ExploreView> {
    const said = parsed(parseMove(raw));
    await this.change(async () => {
      const moved = await moveTemporaryInstance(this.operation, INSTANCE, said.target);
      await this.note(`${said.by} moved the temporary instance to ${formatTarget(said.target)}`);
      return moved;
    });
    return this.view();
  }

  private async connect(raw: unknown): Promise<ExploreView> {
    const said = parsed(parseSender(raw));
    await this.change(async () => {
      const running = await keepInstanceRunning(this.operation, INSTANCE);
      await this.note(`${said.by} connects to the temporary instance`);
      return running;
    });
    return this.view();
  }

  /** Answered when it is gone. */
  private async drop(raw: unknown): Promise<{ dropped: true }> {
    const said = parsed(parseSender(raw));
    this.droppedBy ??= said.by;
    if (this.state === 'early') this.scope.cancel();
    await condition(() => this.state === 'closed');
    return { dropped: true };
  }

  /** What comes before it runs waits for that. */
  private async change(run: (instance: OpenedInstance) => Promise<OpenedInstance>): Promise<void> {
    await condition(() => (this.state !== 'early' && !this.busy) || this.isDropped);
    const { instance } = this;
    if (this.state !== 'open' || this.isDropped || instance === null)
      throw refusal('not-found', 'the temporary instance is gone', 'open another one: reprise explore start');
    this.busy = true;
    try {
      this.instance = await run(instance);
      this.showOpen();
    } catch (error) {
      if (isCancelled(error)) throw error;
      // Whoever asked reads why, and not that an activity failed.
      const { code, message, hint } = failureOf(error);
      throw refusal(code, message, hint);
    } finally {
      this.busy = false;
    }
  }

  /** Within the handler of an update. */
  private note(text: string): Promise<void> {
    return this.operation.recordMessage(text, { update: currentUpdateInfo()?.id ?? '' });
  }
}

function parsed<T extends object>(said: T | { readonly problem: string }): T {
  if ('problem' in said) throw refusal('approval-refused', String(said.problem));
  return said as T;
}

const minute = (at: string | null): string => (at === null ? 'not known' : `${at.slice(0, 16)}Z`);
