import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import {
  ActivityFailure,
  CancellationScope,
  ChildWorkflowCancellationType,
  ParentClosePolicy,
  TemporalFailure,
  TimeoutFailure,
  allHandlersFinished,
  condition,
  defineUpdate,
  getExternalWorkflowHandle,
  setHandler,
  sleep,
  startChild,
  workflowInfo,
} from '@temporalio/workflow';
import type { WatchFinding } from '../../activities/api.js';
import { type WatchPause, parseRejection, parseWatchPause } from '../../domain/approval/parse-decisions.js';
import { incidentWorkflowId, signalNames, updateNames, workflowTypes } from '../../domain/operation/names.js';
import { priorityOf } from '../../domain/operation/priorities.js';
import { incidentRunbook } from '../../domain/plan/runbooks.js';
import { markdownCode, markdownText } from '../../domain/text/markdown.js';
import type { WatchInput } from '../api.js';
import { incident } from './incident.js';
import { controlActivities, watchActivities } from '../operation/activity-proxies.js';
import { continueOnCurrentBuild, isNewRunDue } from '../operation/continue-as-new.js';
import { Notifications, failureNotice } from '../operation/notifications.js';
import {
  OperationStatus,
  failureOf,
  isCancelled,
  refusal,
  runOperation,
  sentence,
} from '../operation/operation-status.js';
import { shapeValidator } from '../operation/step-people.js';
import { hostWorkerMissing } from '../operation/wait-for-host.js';

/** A look that fails is repeated after 1 s, 2 s, 4 s and so on, and after this long at most. */
const LONGEST_PAUSE_MS = 5 * 60_000;
/** So often a look that was lost with its worker is repeated at once: within that the server stops listing a dead worker. */
const QUICK_REPEATS = 10;
/** People are told of a watch that could not look for so long. */
const TELL_AFTER_MS = 60_000;
/** The same where the worker fell silent: by then it is back, or the loss of its host was found. */
const TELL_SILENCE_AFTER_MS = 120_000;

/** A watch that cannot look: why, since when, how often in a row, and whether people were told. */
interface Trouble {
  readonly why: string;
  readonly since: string;
  readonly times: number;
  readonly told: boolean;
  /** The server is there and refuses the login: looks go on as before, and end when that changes. */
  readonly refused?: true;
}

const JSON_OF_PAUSE = '{"by":"<your name>","reason":"<why>","until":"2026-01-01T00:00:00Z"}';
const JSON_OF_PERSON = '{"by":"<your name>","reason":"<why>"}';

/**
 * Watches one cluster for ever. The activity on the host returns only on a change; when it stops heartbeating and no
 * worker of the host polls, that is a finding of its own: layer host. Whatever else fails is repeated: a watch that
 * cannot look says so, tells people, and looks again; it ends only when somebody stops it.
 * A person may have it pause: then it looks at nothing, and says so.
 */
export async function watch(input: WatchInput): Promise<void> {
  const status = new OperationStatus('watch', input.cluster);
  return runOperation(status, () => new Watch(input, status).run());
}

class Watch {
  private readonly cluster: string;
  private readonly notifications: Notifications;
  private openIncident: string | null;
  private isDown: boolean;
  /** What the last look that ended says; a look under way says nothing. */
  private answered = false;
  private trouble: Trouble | null;
  /** When the activity first timed out; the pollers of a dead worker are listed for some time after. */
  private silentSince: string | null = null;
  /** The host whose worker is known not to run: the next look waits for it in the host's queue. */
  private lostHost: string | null = null;
  /** How often in a row the cluster was found down while a recovery holds it. */
  private heldTimes = 0;
  private pause: WatchPause | null;
  /** People were told of this one. */
  private toldPause: WatchPause | null;
  /** It has paused, or the login was refused: whatever is found next is a change. */
  private knowsNothing = false;
  /** What a pause ends: the look under way, or the wait for the next one. */
  private pausable: CancellationScope | null = null;

  constructor(
    input: WatchInput,
    private readonly status: OperationStatus,
  ) {
    const { workflowId, runId } = workflowInfo();
    this.cluster = input.cluster;
    // With the run's id, so that notifications of this run are not taken for those of an earlier one.
    this.notifications = new Notifications({
      cluster: input.cluster,
      operationId: `${workflowId}@${runId}`,
      workflowId,
    });
    this.openIncident = input.openIncident ?? null;
    this.isDown = input.down ?? false;
    this.trouble = input.cannotLook ? { ...input.cannotLook, times: 1 } : null;
    this.pause = input.paused ?? null;
    this.toldPause = this.pause;
    this.handlePauses();
  }

  private handlePauses(): void {
    setHandler(
      defineUpdate<WatchPause, [unknown]>(updateNames.pauseWatch),
      (raw) => {
        const pause = orRefused(parseWatchPause(raw), JSON_OF_PAUSE);
        if (pause.until !== null && Date.parse(pause.until) <= Date.now())
          throw refusal('usage', `${pause.until} is over`, 'name a time to come, or none');
        this.pause = pause;
        this.pausable?.cancel();
        return pause;
      },
      {
        description: `look at nothing until a time, or until it is resumed: ${JSON_OF_PAUSE}`,
        validator: shapeValidator(parseWatchPause, JSON_OF_PAUSE),
      },
    );
    setHandler(
      defineUpdate<{ resumed: boolean }, [unknown]>(updateNames.resumeWatch),
      async (raw) => {
        const { by, reason } = orRefused(parseRejection(raw), JSON_OF_PERSON);
        const resumed = this.pause !== null;
        this.pause = null;
        if (resumed) await this.tellPause('resumed', { by, reason, until: null });
        return { resumed };
      },
      {
        description: `look again: ${JSON_OF_PERSON}`,
        validator: shapeValidator(parseRejection, JSON_OF_PERSON),
      },
    );
  }

  async run(): Promise<void> {
    for (;;) {
      if (isNewRunDue()) await this.continueAsNew();
      if (this.pause === null) await this.unlessPaused(() => this.look());
      else await this.untilResumed(this.pause);
    }
  }

  private async look(): Promise<void> {
    this.show();
    try {
      await this.actOn(await this.nextFinding());
    } catch (error) {
      if (isCancelled(error) || !(error instanceof TemporalFailure)) throw error;
      await this.cannotLook(error);
    }
  }

  /** A pause ends what waits; it waits for what acts upon a finding. */
  private async unlessPaused(run: () => Promise<void>): Promise<void> {
    try {
      await run();
    } catch (error) {
      const isStopped = CancellationScope.current().consideredCancelled;
      if (isStopped || !this.pausable?.consideredCancelled || !isCancelled(error)) throw error;
    }
  }

  private wait<T>(run: () => Promise<T>): Promise<T> {
    this.pausable = new CancellationScope();
    return this.pausable.run(run);
  }

  private async continueAsNew(): Promise<void> {
    const { cluster, openIncident, isDown: down, trouble, pause } = this;
    await condition(allHandlersFinished);
    await continueOnCurrentBuild<typeof watch>({
      ...{ cluster, openIncident, down },
      ...(trouble && { cannotLook: withoutCount(trouble) }),
      ...(pause && { paused: pause }),
    });
  }

  /** Looks at nothing until the end of the pause, or until somebody ends it or names another end. */
  private async untilResumed(pause: WatchPause): Promise<void> {
    const { cluster } = this;
    const { by, reason, until } = pause;
    const end = until === null ? '' : ` until ${until}`;
    this.status.show(
      'paused',
      `the watch of ${cluster} is paused${end} by ${by} (${reason}): \`reprise cluster watch resume ${cluster} --reason "..."\``,
      `**Nobody watches ${markdownText(cluster)}**${end}.`,
    );
    this.knowsNothing = true;
    this.answered = false;
    if (this.toldPause !== pause) {
      this.toldPause = pause;
      await this.tellPause('paused', pause);
    }
    const isOver = (): boolean => this.pause !== pause || isNewRunDue();
    if (until === null) await condition(isOver);
    else if (!(await condition(isOver, Math.max(1, Date.parse(until) - Date.now())))) {
      this.pause = null;
      await this.tellPause('resumed', { by, reason: `the time of its pause is over (${reason})`, until: null });
    }
  }

  private async tellPause(state: 'paused' | 'resumed', { by, reason, until }: WatchPause): Promise<void> {
    this.notifications.configureUnknown();
    await this.notifications.notify({ kind: 'watch', state, by, reason, until });
  }

  private show(): void {
    const { cluster, openIncident, isDown, answered, lostHost, trouble } = this;
    const incident = openIncident ? `; incident ${markdownCode(openIncident)}` : '';
    if (trouble !== null && this.isBlind) {
      const unknown = `**Whether ${markdownText(cluster)} answers is not known** since ${trouble.since}${incident}.`;
      return this.status.show('cannot-look', `the watch of ${cluster} cannot look: ${trouble.why}`, unknown);
    }
    if (lostHost !== null)
      return this.status.show(
        'waiting-worker',
        hostWorkerMissing(lostHost),
        `whether ${markdownText(cluster)} answers is not known${incident}`,
      );
    const found = isDown ? `${cluster} does not answer` : answered ? `${cluster} answers` : `${cluster} is watched`;
    this.status.show('running', null, `${markdownText(found)}${incident}`);
  }

  /** Nothing is known of the cluster. One time-out alone is a worker that was started again. */
  private get isBlind(): boolean {
    return this.trouble !== null && (this.silentSince === null || this.trouble.times > 1);
  }

  private async nextFinding(): Promise<WatchFinding | null> {
    const { cluster, isDown } = this;
    const facts = await controlActivities.describeCluster({ cluster });
    this.notifications.configure(facts);
    const { host } = facts;
    try {
      const look = {
        ...{ cluster, down: isDown },
        ...(this.isBlind || this.knowsNothing ? { unknown: true as const } : {}),
        ...(this.trouble?.refused ? { refused: true as const } : {}),
      };
      const finding = await this.wait(() => watchActivities(host, this.startWithin(host)).watchCluster(look));
      this.sawCluster(finding);
      return finding;
    } catch (error) {
      const timedOut = error instanceof ActivityFailure && error.cause instanceof TimeoutFailure;
      if (!timedOut) throw error;
      this.silentSince ??= new Date().toISOString();
      if (await controlActivities.hostAnswers({ host })) throw error;
      this.lostHost = host;
      this.trouble = null;
      return {
        state: 'down',
        layer: 'host',
        reason: `the worker of host ${host} is not running`,
        since: this.silentSince,
      };
    }
  }

  /** A loss of the host is seen within 90 s: the server lists a dead worker for up to 75 s. */
  private startWithin(host: string): '20s' | '8s' | undefined {
    if (this.lostHost === host) return undefined;
    return this.silentSince === null ? '20s' : '8s';
  }

  /** A look has ended: something is known again. */
  private sawCluster(finding: WatchFinding | null): void {
    this.silentSince = null;
    this.lostHost = null;
    // A look that ends by its time found no change: what was refused still is.
    if (finding === null && this.trouble?.refused) return;
    this.trouble = null;
    if (finding !== null) this.knowsNothing = false;
    this.answered = finding === null ? !this.isDown : finding.state === 'up';
  }

  private async actOn(finding: WatchFinding | null): Promise<void> {
    // What was found while somebody had it pause is looked at again afterwards.
    if (this.pause !== null) return;
    if (this.openIncident && !(await controlActivities.workflowIsOpen({ workflowId: this.openIncident })))
      this.openIncident = null;
    // An incident that was closed while the cluster is still down is not opened again by itself: a person closed it.
    if (finding?.state === 'down' && !this.isDown) await this.foundDown(finding);
    if (finding?.state === 'up') await this.foundUp();
    if (finding?.state === 'cannot-look') await this.foundRefused(finding);
  }

  /** The server is there, and refuses the login of the watch: no loss of it, and told once. */
  private async foundRefused({ reason, since, fix }: WatchFinding): Promise<void> {
    const message = `the server is there and refuses the login: ${reason}`;
    const why = `${message}${fix === undefined ? '' : ` — ${fix}`}`;
    this.trouble = { why, since, times: 1, told: true, refused: true };
    this.show();
    const failure = { code: 'database-unreachable', message, hint: fix };
    await this.notifications.notify(failureNotice('watch', null, failure, new Date(since)));
  }

  private async cannotLook(error: TemporalFailure): Promise<void> {
    const now = new Date();
    const { since, times, told } = this.trouble ?? { since: now.toISOString(), times: 0, told: false };
    const silent = this.silentSince !== null;
    const tellAfterMs = silent ? TELL_SILENCE_AFTER_MS : TELL_AFTER_MS;
    const tell = !told && now.getTime() - Date.parse(since) >= tellAfterMs;
    this.trouble = { why: sentence(error), since, times: times + 1, told: told || tell };
    this.show();
    if (tell) {
      this.notifications.configureUnknown();
      await this.notifications.notify(failureNotice('watch', null, failureOf(error), new Date(since)));
    }
    const summary = 'the watch could not look; it looks again';
    await this.wait(() => sleep(pauseMs(silent ? times - QUICK_REPEATS : times), { summary }));
  }

  private async foundDown(finding: WatchFinding): Promise<void> {
    const { cluster } = this;
    if (!this.openIncident && (await controlActivities.recoveryHolds({ cluster }))) {
      // It is down because somebody decided so; whether it comes back is checked again.
      this.lostHost = null;
      const summary = `a recovery of ${cluster} is running`;
      await this.wait(() => sleep(pauseMs(this.heldTimes++, 5_000), { summary }));
      return;
    }
    this.heldTimes = 0;
    this.openIncident ??= await this.startIncident(finding);
    this.isDown = true;
  }

  private async foundUp(): Promise<void> {
    this.isDown = false;
    if (!this.openIncident) return;
    try {
      await getExternalWorkflowHandle(this.openIncident).signal(signalNames.clusterAnswers);
    } catch (error) {
      // It ended in the meantime: nobody is left to be told.
      if (isCancelled(error)) throw error;
    }
  }

  private async startIncident(finding: WatchFinding): Promise<string> {
    const { cluster } = this;
    const operationId = `${cluster}-${finding.since.replace(/[-:]|\.\d+/g, '')}`;
    const workflowId = incidentWorkflowId(cluster, 'instance-loss', operationId);
    try {
      await startChild(incident, {
        workflowId,
        // Whoever ends the watch ends no recovery that is running.
        parentClosePolicy: ParentClosePolicy.ABANDON,
        cancellationType: ChildWorkflowCancellationType.ABANDON,
        priority: priorityOf(workflowTypes.incident),
        staticSummary: `${cluster} does not answer (${finding.layer ?? 'unknown'})`,
        staticDetails: incidentRunbook(cluster, 'instance-loss').details,
        args: [
          {
            cluster,
            scenario: 'instance-loss' as const,
            operationId,
            requester: 'watch',
            firstFailedAt: finding.since,
            finding: { layer: finding.layer ?? 'unknown', reason: finding.reason },
          },
        ],
      });
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    }
    return workflowId;
  }
}

/** As the next run gets it. */
function withoutCount({ times: _times, ...trouble }: Trouble): NonNullable<WatchInput['cannotLook']> {
  return trouble;
}

function orRefused<T extends object>(parsed: T | { problem: string }, json: string): T {
  if ('problem' in parsed) throw refusal('usage', parsed.problem, `send ${json}`);
  return parsed;
}

/** Twice as long each time. */
function pauseMs(timesBefore: number, firstMs = 1_000): number {
  return Math.min(firstMs * 2 ** Math.min(Math.max(timesBefore, 0), 20), LONGEST_PAUSE_MS);
}
