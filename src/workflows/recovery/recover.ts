import { CancellationScope, getExternalWorkflowHandle, log, sleep, workflowInfo } from '@temporalio/workflow';
import type { PlanRequest } from '../../activities/api.js';
import { signalNames } from '../../domain/operation/names.js';
import type { Plan } from '../../domain/plan/plan.js';
import { describeResidualState } from '../../domain/plan/residual-state.js';
import { approvalDetails, planDetails, waitingSummary } from '../../domain/plan/plan-text.js';
import { formatTarget } from '../../domain/target/target.js';
import { durationInWords, sizeInWords } from '../../domain/text/text.js';
import { thawLookSeconds } from '../../domain/plan/thaw.js';
import type { PlannedThaw } from '../../domain/plan/thaw.js';
import type { RecoverInput, RecoverOutput } from '../api.js';
import type { ApprovalInbox } from '../operation/approval-inbox.js';
import { withClusterLock, waitForHost } from '../lock/with-cluster-lock.js';
import { openHostInbox, noteRejection, waitForRelease } from '../operation/host-inbox.js';
import { fewTriesHostActivities, controlActivities, hostActivities } from '../operation/activity-proxies.js';
import { recoverDataDirectory, type Recovered } from './recover-data-directory.js';
import { recoverDatabases } from './recover-databases.js';
import { restartServer } from './restart-server.js';
import { DAMAGED, Runbook } from './runbook.js';
import { Notifications, failureNotice } from '../operation/notifications.js';
import { OperationStatus, runOperation, failureOf, isCancelled } from '../operation/operation-status.js';

const runbooks = { 'data-directory': recoverDataDirectory, databases: recoverDatabases, restart: restartServer };

/** Who confirms an incident when a plan is approved: from then on the recovery changes things. */
export const APPROVAL = 'approval';

/** Plan, wait for a person, check that the plan still holds, recover, prove, report. */
export async function recover(input: RecoverInput): Promise<RecoverOutput> {
  const { cluster, operationId, order } = input;
  const work = new OperationStatus('recover', cluster);
  const step = { cluster, operationId, workflowId: workflowInfo().workflowId };
  const teller = new Notifications(step);
  let host = '';
  const desk = openHostInbox(() => host, step);

  /** Steps of the runbook begun so far, whatever plan they were of. */
  const begun: string[] = [];

  return runOperation(work, async () => {
    let request: PlanRequest = {
      ...step,
      order,
      requester: input.requester,
    };
    let waitedSeconds = 0;
    let latest: Plan | null = null;
    try {
      const described = await controlActivities.describeCluster({ cluster });
      // Onto another host, everything is done there: the source's may be dead.
      host = described.targetHosts?.[order.into] ?? described.host;
      teller.configure(described);
      await waitForHost(work, host);
      request = { ...request, controlDigest: described.configDigest };
      if (host !== described.host)
        request = { ...request, sourceAnswers: await controlActivities.hostAnswers({ host: described.host }) };
      for (;;) {
        desk.withdraw();
        const plan = await work.phase('plan', () =>
          fewTriesHostActivities(host, 'make the plan (reads only)').planRecovery(request),
        );
        work.plan = plan.digest;
        latest = plan;
        await hostActivities(host, 'keep the backup from rotation').pin({ ...step, plan: plan.digest });
        const decision = await decided(work, desk, plan, step.workflowId, teller);
        waitedSeconds += decision.seconds;
        if (decision.kind === 'again') continue;
        if (decision.kind === 'rejected') return await rejected(work, desk, plan, host, step, begun);
        if (input.incident) await confirmed(input.incident, plan);

        // Before the cluster is taken: backups go on meanwhile. Plans of older histories have no thaw.
        if (plan.binding.thaw && (await thawed(plan, plan.binding.thaw)) === 'rejected')
          return await rejected(work, desk, plan, host, step, begun);

        const outcome = await execute(plan);
        if (outcome === 'rejected') return await rejected(work, desk, plan, host, step, begun);
        if (!('stale' in outcome)) return { state: 'completed', plan, outcome };
        desk.revoke();
        await hostActivities(host, 'note that the plan is stale').journal({
          ...step,
          step: 'recheck',
          text: `plan ${plan.digest.slice(0, 12)} no longer holds (${outcome.stale}): made again, approval needed again`,
        });
      }
    } catch (error) {
      if (latest && begun.length > 0) await leave(latest);
      if (!isCancelled(error)) await teller.notify(failureNotice('recovery', order.policy ?? null, failureOf(error)));
      throw error;
    } finally {
      await CancellationScope.nonCancellable(async () => {
        if (work.plan)
          await fewTriesHostActivities(host, 'let rotation have the backup again').unpin(step).catch(pinStays);
        await desk.close();
      });
    }

    /** Hours, mostly: asks for the files, and looks from time to time until every one can be read. */
    async function thawed(plan: Plan, { tier }: PlannedThaw): Promise<'readable' | 'rejected'> {
      const hours = plan.observed.thaw?.choices.find((choice) => choice.tier === tier)?.hours ?? 0;
      const seconds = thawLookSeconds(hours);
      await work.phase('thaw', async () => {
        await hostActivities(host, `ask for the thaw (${tier})`).requestThaw({ ...step, plan: plan.digest });
        for (;;) {
          const { objects, bytes } = await hostActivities(host, 'look whether every file can be read').lookAtThaw({
            ...step,
            plan: plan.digest,
          });
          if (objects === 0 || desk.rejectedBecause) return;
          work.show(
            'waiting-thaw',
            `${objects} files (${sizeInWords(bytes)}) to be readable: tier ${tier} takes up to ${durationInWords(hours * 3600)}`,
            planDetails(plan),
          );
          await desk.unlessRejected(() =>
            sleep(seconds * 1000, { summary: `wait for the thaw: ${objects} files left` }),
          );
        }
      });
      return desk.rejectedBecause ? 'rejected' : 'readable';
    }

    async function execute(plan: Plan) {
      const { policy, engine } = plan.binding;
      const claim = { cluster, operationId, kind: 'recovery' as const, policy, engine, repository: '*' };
      return withClusterLock(
        claim,
        async () => {
          if (desk.rejectedBecause) return 'rejected' as const;
          work.show('running', null, planDetails(plan));
          const now = await work.phase('check that the plan still holds', () =>
            fewTriesHostActivities(host, 'make the plan again').recheckPlan({ ...request, plan: plan.digest }),
          );
          if (now.digest !== plan.digest) return { stale: now.changed.join(', ') };
          const book = new Runbook(work, desk, plan, { ...step, plan: plan.digest }, begun, (facts) =>
            teller.notify(facts),
          );
          try {
            return await finish(book, await runbooks[plan.binding.method](book));
          } catch (error) {
            // Only a plan that was not begun expires: the wait for the cluster was too long, and a person decides anew. A
            // damaged backup is found before anything is opened for writes: what was put aside stays there.
            const { code, message } = failureOf(error);
            if (code === 'plan-expired' || code === DAMAGED) return { stale: message };
            throw error;
          }
        },
        (holder) => waitForRelease(work, desk, cluster, holder),
      );
    }

    /** Whoever finds it ended reads what state it left: in the details, and in the journal. */
    async function leave(plan: Plan): Promise<void> {
      work.left = describeResidualState(plan, begun);
      const journal = () =>
        fewTriesHostActivities(host, 'note what is left').journal({ ...step, step: 'ended', text: work.left });
      await CancellationScope.nonCancellable(journal).catch(() => log.warn('what is left could not be noted'));
    }

    async function finish(book: Runbook, { reached, checks, ...validated }: Recovered) {
      const { plan } = book;
      const since = Date.parse(input.firstFailedAt ?? workflowInfo().startTime.toISOString());
      const waitedBefore = waitedSeconds + validated.waitedSeconds;
      const rpoSeconds = reached.complete
        ? 0
        : reached.lastCommitAt
          ? Math.max(0, (since - Date.parse(reached.lastCommitAt)) / 1000)
          : null;
      const outcome = {
        target: { requested: formatTarget(plan.binding.target), reached: reached.reached },
        rtoSeconds: Math.max(0, (validated.validatedAt - since) / 1000 - waitedBefore),
        waitedForPeopleSeconds: waitedSeconds + book.waitedSeconds,
        rpoSeconds,
        lastCommitAt: reached.lastCommitAt,
        lastLsn: reached.lastLsn,
        phases: work.times().map(({ name, seconds }) => ({ name, seconds: seconds ?? 0 })),
        checks,
      };
      const finished = await book.do('write the incident document', (recoveryHost, again) =>
        recoveryHost.finishRecovery({ ...again, incident: input.incident, outcome }),
      );
      await teller.notify({
        kind: 'recovered',
        reached: reached.reached,
        rtoSeconds: outcome.rtoSeconds,
        rpoSeconds,
        report: finished.report,
      });
      work.show('completed', null, `**Recovered** to ${reached.reached}. Report: ${finished.report}`);
      return finished;
    }
  });
}

/** Whoever approves the plan has confirmed the incident; one that ended meanwhile needs no telling. */
async function confirmed(incident: string, plan: Plan): Promise<void> {
  const reason = `plan ${plan.digest.slice(0, 12)} was approved`;
  await getExternalWorkflowHandle(incident)
    .signal(signalNames.confirm, { by: APPROVAL, reason })
    .catch(() => log.info('the incident is closed already'));
}

/** A pin too many keeps a backup longer than needed: no reason to fail what was done. */
function pinStays(): void {
  log.warn('the pin could not be removed');
}

async function decided(
  work: OperationStatus,
  desk: ApprovalInbox,
  plan: Plan,
  workflowId: string,
  teller: Notifications,
): Promise<{ kind: 'approved' | 'rejected' | 'again'; seconds: number }> {
  const before = Date.now();
  const waitingFor = `approval of plan ${plan.digest.slice(0, 12)}, until ${plan.approveBy.slice(0, 16)}Z: \`reprise approve ${workflowId} --reason "..."\``;
  work.show('waiting-approval', waitingFor, approvalDetails(plan));
  const waiting = work.phase('wait for approval', () => desk.decide(plan, waitingSummary(plan)));
  // Beside the waiting: whoever reads the Web UI may be faster than the mail.
  const [kind] = await Promise.all([waiting, teller.notify({ kind: 'approval', plan })]);
  work.show('running');
  return { kind, seconds: (Date.now() - before) / 1000 };
}

async function rejected(
  work: OperationStatus,
  desk: ApprovalInbox,
  plan: Plan,
  host: string,
  step: { cluster: string; operationId: string; workflowId: string },
  begun: readonly string[],
): Promise<RecoverOutput> {
  const { by, reason } = await noteRejection(host, desk, step, plan.digest);
  const left = describeResidualState(plan, begun);
  work.show('rejected', null, `**Rejected** by ${by}: ${reason}. ${left}`);
  return { state: 'rejected', plan, outcome: null, rejectedBecause: `${by}: ${reason}`, left };
}
