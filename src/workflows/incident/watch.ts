import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import {
  ActivityFailure,
  ChildWorkflowCancellationType,
  ParentClosePolicy,
  TemporalFailure,
  TimeoutFailure,
  getExternalWorkflowHandle,
  sleep,
  startChild,
  workflowInfo,
} from '@temporalio/workflow';
import type { WatchFinding } from '../../activities/api.js';
import { incidentWorkflowId, signalNames, workflowTypes } from '../../domain/operation/names.js';
import { priorityOf } from '../../domain/operation/priorities.js';
import { incidentRunbook } from '../../domain/plan/runbooks.js';
import type { WatchInput } from '../api.js';
import { incident } from './incident.js';
import { controlActivities, watchActivities } from '../operation/activity-proxies.js';
import { continueOnCurrentBuild, isNewRunDue } from '../operation/continue-as-new.js';
import { Notifications, failureNotice } from '../operation/notifications.js';
import { OperationStatus, failureOf, isCancelled, runOperation, sentence } from '../operation/operation-status.js';
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
}

/**
 * Watches one cluster for ever. The activity on the host returns only on a change; when it stops heartbeating and no
 * worker of the host polls, that is a finding of its own: layer host. Whatever else fails is repeated: a watch that
 * cannot look says so, tells people, and looks again; it ends only when somebody stops it.
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
  }

  async run(): Promise<void> {
    for (;;) {
      if (isNewRunDue()) await this.continueAsNew();
      this.show();
      try {
        await this.actOn(await this.nextFinding());
      } catch (error) {
        if (isCancelled(error) || !(error instanceof TemporalFailure)) throw error;
        await this.cannotLook(error);
      }
    }
  }

  private async continueAsNew(): Promise<void> {
    const { cluster, openIncident, isDown: down, trouble } = this;
    const cannotLook = trouble ? { cannotLook: { why: trouble.why, since: trouble.since, told: trouble.told } } : {};
    await continueOnCurrentBuild<typeof watch>({ cluster, openIncident, down, ...cannotLook });
  }

  private show(): void {
    const { cluster, openIncident, isDown, answered, lostHost, trouble } = this;
    const incident = openIncident ? `; incident ${openIncident}` : '';
    if (trouble !== null && this.isBlind) {
      const unknown = `**Whether ${cluster} answers is not known** since ${trouble.since}${incident}.`;
      return this.status.show('cannot-look', `the watch of ${cluster} cannot look: ${trouble.why}`, unknown);
    }
    if (lostHost !== null)
      return this.status.show(
        'waiting-worker',
        hostWorkerMissing(lostHost),
        `whether ${cluster} answers is not known${incident}`,
      );
    const found = isDown ? `${cluster} does not answer` : answered ? `${cluster} answers` : `${cluster} is watched`;
    this.status.show('running', null, `${found}${incident}`);
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
      const look = { cluster, down: isDown, ...(this.isBlind ? { unknown: true as const } : {}) };
      const finding = await watchActivities(host, this.startWithin(host)).watchCluster(look);
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
    this.trouble = null;
    this.silentSince = null;
    this.lostHost = null;
    this.answered = finding === null ? !this.isDown : finding.state === 'up';
  }

  private async actOn(finding: WatchFinding | null): Promise<void> {
    if (this.openIncident && !(await controlActivities.workflowIsOpen({ workflowId: this.openIncident })))
      this.openIncident = null;
    // An incident that was closed while the cluster is still down is not opened again by itself: a person closed it.
    if (finding?.state === 'down' && !this.isDown) await this.foundDown(finding);
    if (finding?.state === 'up') await this.foundUp();
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
    await sleep(pauseMs(silent ? times - QUICK_REPEATS : times), {
      summary: 'the watch could not look; it looks again',
    });
  }

  private async foundDown(finding: WatchFinding): Promise<void> {
    const { cluster } = this;
    if (!this.openIncident && (await controlActivities.recoveryHolds({ cluster }))) {
      // It is down because somebody decided so; whether it comes back is checked again.
      this.lostHost = null;
      await sleep(pauseMs(this.heldTimes++, 5_000), { summary: `a recovery of ${cluster} is running` });
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

/** Twice as long each time. */
function pauseMs(timesBefore: number, firstMs = 1_000): number {
  return Math.min(firstMs * 2 ** Math.min(Math.max(timesBefore, 0), 20), LONGEST_PAUSE_MS);
}
