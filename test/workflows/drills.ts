import type { WorkflowHandle } from '@temporalio/client';
import type { DrillActivities } from '../../src/activities/api.js';
import type {
  DrillCheck,
  DrillOutcome,
  DrillPlan,
  DrillRestored,
  PlannedRestore,
  RegisterEntry,
  SignOff,
} from '../../src/domain/drill/drill.js';
import { dueAfter } from '../../src/domain/drill/register.js';
import { type DrillEnding, drillVerdict } from '../../src/domain/drill/verdict.js';
import { updateNames } from '../../src/domain/operation/names.js';
import type { NoticeFacts } from '../../src/domain/notification/notices.js';
import type { DrillOrder } from '../../src/domain/operation/orders.js';
import type { DrillOutput } from '../../src/workflows/api.js';
import type { Case } from './lab.js';

/** Drills without a server: plans, checks and outcomes as a staging host would answer. */
const drillStaging = 'staging1';

function plannedRestore(policy: string, engine = 'pgbackrest'): PlannedRestore {
  const method = engine === 'logical' ? 'databases' : 'data-directory';
  const backup = { id: `mairie:${engine}:one`, database: null, label: 'one', sizeBytes: 1, finishedAt: FINISHED };
  const backups = [{ ...backup, content: 'a'.repeat(64) }];
  return { policy, engine, method, backups, target: { kind: 'latest' }, chosen: 'latest', predicted: null };
}
const FINISHED = '2026-11-20T02:19:48Z';

export function drillPlanOf(
  {
    cluster,
    operationId,
    workflowId,
    requester,
    order,
  }: {
    readonly cluster: string;
    readonly operationId: string;
    readonly workflowId: string;
    readonly requester: string;
    readonly order: DrillOrder;
  },
  policies: readonly string[] = ['physical'],
): DrillPlan {
  return {
    ...{ digest: 'd'.repeat(64), cluster, operationId, workflowId, requester, order, configDigest: 'config' },
    ...{ createdAt: new Date().toISOString(), seed: '00'.repeat(16), checks: ['tables'] },
    place: { host: drillStaging, dataDir: '/var/lib/postgresql/staging', port: 5433 },
    restores: policies.map((policy) => plannedRestore(policy)),
    notTested: [{ kind: 'media', name: 'photos', reason: 'drills restore no media' }],
  };
}

const NOW = (): string => new Date().toISOString();

export function restoredOf(policy: string): DrillRestored {
  return {
    ...{ policy, engine: 'pgbackrest', rtoSeconds: 12, bytes: 1, reached: 'the end of the WAL', complete: true },
    ...{ lastLsn: '0/5000000', lastCommitAt: '2026-11-21T02:00:00Z', phases: [{ name: 'restore', seconds: 12 }] },
  };
}

export const passedCheck = (policy: string): DrillCheck => ({
  ...{ policy, name: 'tables', type: 'sql', status: 'passed', detail: '12', seconds: 1 },
});
export const failedCheck = (policy: string): DrillCheck => ({
  ...passedCheck(policy),
  ...{ status: 'failed', detail: '0 tables, at least 1 was expected', hint: 'look at the backup' },
});

/** What the staging host seals: the verdict is that of the program. */
export function drillOutcomeOf(
  step: { readonly cluster: string; readonly operationId: string; readonly workflowId: string } & DrillEnding,
  checks: readonly DrillCheck[] = [passedCheck('physical')],
  signOff: SignOff | null = null,
  { startedAt = NOW(), finishedAt = NOW(), policies = ['physical'] } = {},
): DrillOutcome {
  const { cluster, operationId: drillId, workflowId } = step;
  return {
    ...{ cluster, drillId, workflowId, startedAt, finishedAt, seed: '00'.repeat(16), checks, signOff },
    ...drillVerdict(step, checks, signOff),
    restores: policies.map((policy) => ({ ...restoredOf(policy), predicted: null })),
    rpoSeconds: 60,
    notTested: [],
    evidence: { path: `mairie/drills/${drillId}/`, sha256: 'e'.repeat(64), signed: true },
  };
}

/** A staging host that keeps what it found, and on which these policies are restored. */
export class StagingHost {
  readonly checks: DrillCheck[] = [];
  signOff: SignOff | null = null;

  constructor(private readonly policies: readonly string[] = ['physical']) {}

  activities(by: readonly string[] = ['qa']): DrillActivities {
    return {
      planDrill: async (request) => drillPlanOf(request, this.policies),
      wipeStaging: async () => undefined,
      restoreStaging: async () => undefined,
      startStaging: async ({ restore }) => restoredOf(this.policies[restore] ?? ''),
      checkStaging: async ({ restore }) => this.keep([passedCheck(this.policies[restore] ?? '')]),
      crossCheck: async () => this.keep([]),
      openStaging: async () => ({ connection: `host=${drillStaging} port=5433` }),
      recordSignOff: async ({ signOff }) => {
        if (!by.includes(signOff.by))
          return { accepted: false, missing: 0, code: 'approval-refused', reason: `${signOff.by} may not sign off` };
        this.signOff ??= signOff;
        return { accepted: true, missing: 0 };
      },
      sealEvidence: async (step) => drillOutcomeOf(step, this.checks, this.signOff, { policies: [...this.policies] }),
      closeStaging: async () => undefined,
      recordUnplannedDrill: async ({ cluster }) => entryFor(cluster),
    };
  }

  keep(checks: readonly DrillCheck[]): readonly DrillCheck[] {
    this.checks.push(...checks);
    return checks;
  }
}

export function entryFor(cluster: string, openedAt = new Date().toISOString()): RegisterEntry {
  return {
    ...{ id: 'drill-failed-op', cluster, what: 'drill-failed', text: 'drill op failed', owner: 'ops', openedAt },
    ...{ dueAt: dueAfter(openedAt), drillId: 'op', closedBy: null, closedAt: null },
  };
}

export const word = { verdict: 'pass', by: 'qa', remarks: 'appointments of today are there' };
export const signsOff = (one: Case, given: unknown = word): Promise<unknown> =>
  one.workflow.executeUpdate(updateNames.signOff, { args: [given] });
export const outcomeOf = async (handle: WorkflowHandle) => ((await handle.result()) as DrillOutput).outcome;

/** What people were told of, in order. */
export const told = (one: Case): readonly string[] =>
  one.of('deliveriesOf').map(({ notice }) => {
    const { facts } = notice as { facts: NoticeFacts };
    return facts.kind === 'sign-off' ? facts.stage : facts.kind === 'drill' ? facts.state : facts.kind;
  });
