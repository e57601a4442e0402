import { decideOnPage } from './approval-page.js';
import type { Backup } from '../backup/backup.js';
import type { KeptItem } from '../backup/records.js';
import type { ApprovalPolicy, Config } from '../config.js';
import { RepriseError } from '../errors.js';
import type { ActionOrder } from '../operation/orders.js';
import { actionWorkflowId } from '../operation/names.js';
import type { ApprovableBinding, ApprovablePlan } from '../plan/plan.js';
import type { AppliedSetting, StoragePlan } from '../storage/storage-plan.js';
import { markdownCode, markdownText } from '../text/markdown.js';
import { clipBytes, visible } from '../text/text.js';
import { approveCommand, approversInWords, notCovered, shortDigest, waitingLabel } from './approval-policy.js';

/**
 * What cannot be undone, beside recoveries and media: approved where the cluster has a policy for it, else confirmed at a
 * terminal of the host itself.
 */
export const confirmedActions = ['kept-drop', 'release', 'storage-apply', 'adopt'] as const;
export type ConfirmedAction = (typeof confirmedActions)[number];

export interface ActionBinding extends ApprovableBinding {
  readonly action: ConfirmedAction;
  /** The name that a person types to confirm it. */
  readonly subject: string;
  readonly order: ActionOrder;
  /** What exactly is meant, as the host found it: digested with the rest. */
  readonly found: Readonly<Record<string, unknown>>;
}

export interface ActionPlan extends ApprovablePlan {
  readonly binding: ActionBinding;
  readonly observed: {
    /** For people: what, and its value. */
    readonly facts: readonly (readonly [what: string, value: string])[];
    /** Null where no policy asks for an approval: then it is confirmed on the host. */
    readonly approval: { readonly approvers: number; readonly from: readonly string[] } | null;
    /** Nothing would be changed. */
    readonly empty: boolean;
  };
}

/** What came of it, by action. */
export interface ActionOutcome {
  readonly dropped?: readonly KeptItem[];
  readonly backup?: Backup;
  readonly applied?: readonly AppliedSetting[];
  readonly plan?: StoragePlan;
}

export function isActionPlan(plan: ApprovablePlan): plan is ActionPlan {
  return isConfirmedAction(plan.binding.action);
}

export function isConfirmedAction(action: string): action is ConfirmedAction {
  return (confirmedActions as readonly string[]).includes(action);
}

/** How long a confirmation counts, in seconds. */
const CONFIRMED_WITHIN = 3600;

/** In place of a policy that the cluster does not have. */
export const byConfirmation: ApprovalPolicy = {
  approvers: 1,
  from: [],
  requesterMayApprove: true,
  approveWithinSeconds: CONFIRMED_WITHIN,
  executeWithinSeconds: CONFIRMED_WITHIN,
  signatures: 'none',
  byConfirmation: true,
};

/**
 * The cluster whose policy decides on the settings of a repository: of those that use it, the one whose approval is enough
 * for all; where none has a policy, the first one.
 * @throws RepriseError `config-invalid` where no policy covers the others
 */
export function clusterForStorage(config: Config, repository: string): string {
  const clusters = Object.values(config.clusters);
  const media = Object.values(config.media).filter((entry) => entry.repository === repository);
  const users = clusters.filter(
    ({ name, catalogue, policies }) =>
      catalogue === repository ||
      Object.values(policies).some((policy) => policy.repository === repository) ||
      media.some(({ cluster }) => cluster === name),
  );
  const guards = users.filter(({ approvals }) => approvals['storage-apply'] !== undefined);
  const covering = guards.find(({ approvals: { 'storage-apply': own } }) =>
    guards.every(({ approvals: { 'storage-apply': guard } }) => !own || !guard || notCovered(own, guard, '') === null),
  );
  if (guards.length > 0 && covering === undefined)
    throw new RepriseError(
      'config-invalid',
      `the policies for storage-apply of ${guards.map(({ name }) => name).join(' and ')}, which all use ${repository}, contradict each other`,
      'give these clusters the same policy for storage-apply',
    );
  const chosen = covering ?? users[0] ?? clusters[0];
  if (chosen === undefined) throw new RepriseError('not-found', 'there is no cluster in the configuration');
  return chosen.name;
}

/** Fact of a plan for `kept drop`: what has to go before the database does. */
export const DROPS_FIRST = 'drops first';

const titles: Readonly<Record<ConfirmedAction, (subject: string) => string>> = {
  'kept-drop': (subject) => `Delete the old data ${subject} permanently`,
  release: (subject) => `End the hold of backup ${subject}`,
  'storage-apply': (subject) => `Change the settings of the repository ${subject}`,
  adopt: (subject) => `Adopt backups that were made before Reprise, for ${subject}`,
};

/** The command that makes such a plan. */
export function actionCommand({ action, subject }: Pick<ActionBinding, 'action' | 'subject'>): string {
  if (action === 'kept-drop') return `reprise kept drop ${subject}`;
  if (action === 'storage-apply') return `reprise storage apply ${subject}`;
  return `reprise backup ${action} ${subject}`;
}

const titleOf = ({ binding: { action, subject } }: ActionPlan): string => titles[action](clipBytes(subject, 200));

const workflowOf = ({ binding: { action, cluster, operationId } }: ActionPlan): string =>
  actionWorkflowId(action, cluster, operationId);

/** What a person has to do so that it goes on. */
export function actionWaitsFor(plan: ActionPlan): string {
  if (plan.observed.approval !== null)
    return approveCommand(workflowOf(plan), plan.digest, plan.observed.approval.from);
  return `confirm it at a terminal of host ${plan.binding.targetHost}: ${actionCommand(plan.binding)}`;
}

/** One line for a timer. */
export function actionWaiting(plan: ActionPlan): string {
  return waitingLabel(`wait for approval: plan ${shortDigest(plan)}, ${titleOf(plan)}`);
}

function factsOf({ binding, observed, approveBy }: ActionPlan): readonly (readonly [string, string])[] {
  const { approval } = observed;
  return [
    ...observed.facts,
    ['requested by', `${clipBytes(binding.requester, 200)} (asserted)`],
    ...(approval === null ? [] : [['may approve', approversInWords(approval)] as const]),
    ['approve until', approveBy],
  ];
}

/** The plan for a terminal; `waits: false` for one that only shows what would be done. */
export function actionPlanText(plan: ActionPlan, { waits = true } = {}): string {
  const facts = factsOf(plan).filter(([what]) => waits || what !== 'approve until');
  return [
    visible(titleOf(plan)),
    ...facts.map(([what, value]) => `  ${what.padEnd(14)} ${visible(clipBytes(value, 500))}`),
    ...(waits ? [`  ${'plan'.padEnd(14)} ${plan.digest}`] : []),
    '',
    ...(waits
      ? ['Nothing is changed before that:', `  ${actionWaitsFor(plan)}`]
      : ['Nothing was started: this is what would be done.']),
  ].join('\n');
}

/** The same for Temporal's Web UI (Markdown). */
export function actionDetails(plan: ActionPlan): string {
  return [
    `### ${markdownText(titleOf(plan))}`,
    factsOf(plan)
      .map(([what, value]) => `- **${what}:** ${markdownText(clipBytes(value, 500))}`)
      .join('\n'),
  ].join('\n\n');
}

/** The same while its approval is waited for. */
export function actionApprovalDetails(plan: ActionPlan): string {
  return [
    actionDetails(plan),
    ...(plan.observed.approval === null
      ? [`To confirm: at a terminal of host ${plan.binding.targetHost}, ${markdownCode(actionCommand(plan.binding))}`]
      : decideOnPage(plan, workflowOf(plan))),
  ].join('\n\n');
}
