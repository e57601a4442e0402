import { setTimeout as sleep } from 'node:timers/promises';
import { approve, reject } from '../client/decide.js';
import type { TemporalSession } from '../client/connect.js';
import { runInspection } from '../client/inspect.js';
import { newOperationId, type StartedOperation, startAction } from '../client/start.js';
import { type ActionPlan, type ConfirmedAction, actionPlanText, isActionPlan } from '../domain/approval/actions.js';
import { RepriseError } from '../domain/errors.js';
import type { ActionOrder } from '../domain/operation/orders.js';
import type { ActionOutput } from '../workflows/api.js';
import type { Cli } from './cli-context.js';
import type { CommonOptions } from './define-command.js';
import { detached, detachedText, interruptible, planBeforeDetaching, planWhenMade, waitFor } from './long-operation.js';
import { typeTheName } from './terminal/prompts.js';

/** A plan of settings, or of a folder of dumps, may take a listing. */
const PLAN_MS = 3_600_000;

/** Something that cannot be undone, as a person at a terminal asks for it. */
export interface AskedAction {
  readonly action: ConfirmedAction;
  readonly cluster: string;
  /** What is typed to confirm it. */
  readonly subject: string;
  /** What it does, for the question. */
  readonly what: string;
}

/**
 * Asks before anything is started, where the cluster has no approval policy for the action.
 * @returns whether it was confirmed here
 * @throws RepriseError `confirmation-needed`
 */
export async function askUnlessApproved(
  cli: Cli,
  { action, cluster, subject, what }: AskedAction,
  { yes }: CommonOptions,
): Promise<boolean> {
  if ((await cli.cluster(cluster)).approvals[action] !== undefined) return false;
  await typeTheName(cli, what, subject, yes);
  return true;
}

/**
 * Where the host has no approval policy for the action: leaves the confirmation in the state directory of the host's
 * worker, which nobody can from afar, and tells the operation. Where it has one, shows the plan: people approve it.
 */
export async function confirmPlan(
  cli: Cli,
  session: TemporalSession,
  operation: StartedOperation,
  asked: AskedAction,
  options: CommonOptions & { readonly by?: string; readonly confirmed: boolean },
): Promise<void> {
  const { workflowId } = operation;
  const plan = await (options.detach
    ? planBeforeDetaching(cli, session, operation, isActionPlan, PLAN_MS)
    : planWhenMade(session, workflowId, isActionPlan, PLAN_MS));
  if (plan === null) return;
  const by = cli.person(options.by);
  if (plan.observed.approval !== null) {
    if (cli.showsProgress) cli.say(`\n${actionPlanText(plan)}\n`);
    return;
  }
  try {
    if (!options.confirmed && cli.terminal.interactive && cli.format === 'table')
      cli.say(`\n${actionPlanText(plan)}\n`);
    if (!options.confirmed) await typeTheName(cli, asked.what, asked.subject, options.yes);
    const { writeConfirmation } = await import('../files/confirmations.js');
    await writeConfirmation(await stateDirOf(cli, plan), { digest: plan.digest, by, at: new Date().toISOString() });
    const reason = `confirmed at a terminal of host ${plan.binding.targetHost}`;
    await approve(session, workflowId, { plan: plan.digest, by, reason });
  } catch (error) {
    // Nobody else can confirm this plan: it would wait for ever.
    await reject(session, workflowId, { by, reason: 'not confirmed' }).catch(() => sleep(0));
    throw error;
  }
}

async function stateDirOf(cli: Cli, { binding: { targetHost } }: ActionPlan): Promise<string> {
  const host = (await cli.config()).hosts[targetHost];
  if (host) return host.stateDir;
  throw new RepriseError(
    'config-invalid',
    `the plan was made on host ${targetHost}, which this configuration does not name`,
    'use the configuration of the workers: --config',
  );
}

/** Waits for the result and confirms the plan meanwhile; where a person is asked, that comes first. */
export async function followConfirmed<T>(
  cli: Cli,
  session: TemporalSession,
  operation: StartedOperation,
  asked: AskedAction,
  options: CommonOptions & { readonly by?: string; readonly confirmed: boolean },
): Promise<T> {
  const confirm = (): Promise<void> => confirmPlan(cli, session, operation, asked, options);
  if (cli.terminal.interactive && !options.confirmed && options.yes !== true) {
    await confirm();
    return waitFor<T>(cli, session, operation, options);
  }
  // Without a policy it waits for the confirmation that is on its way, and for nobody.
  const isConfirmedHere = (await cli.cluster(asked.cluster)).approvals[asked.action] === undefined;
  const shown = isConfirmedHere ? { ...options, unshown: 'waiting-approval' as const } : options;
  const [result] = await Promise.all([waitFor<T>(cli, session, operation, shown), confirm()]);
  return result;
}

/** Starts it, confirms its plan or shows what is waited for, and waits for the result; null with `--detach`, which is printed. */
export async function carryOutAction(
  cli: Cli,
  session: TemporalSession,
  order: ActionOrder & { readonly kind: ConfirmedAction },
  asked: AskedAction,
  options: CommonOptions & { readonly by?: string; readonly confirmed: boolean },
): Promise<(ActionOutput & { readonly workflowId: string }) | null> {
  const { cluster, subject } = asked;
  const operation = await startAction(session, { cluster, requester: cli.person(options.by), order, subject });
  const { workflowId } = operation;
  if (options.detach) {
    await confirmPlan(cli, session, operation, asked, options);
    await cli.print(await detached(cli, session, workflowId), detachedText);
    return null;
  }
  const output = await followConfirmed<ActionOutput>(cli, session, operation, asked, options);
  refuseRejected(output.rejectedBecause);
  return { ...output, workflowId };
}

/** The plan alone, as `--dry-run` prints it. */
export async function previewAction(
  cli: Cli,
  session: TemporalSession,
  cluster: string,
  order: ActionOrder,
  by: string | undefined,
): Promise<ActionPlan> {
  const question = {
    kind: 'action' as const,
    cluster,
    operationId: newOperationId(),
    requester: cli.person(by),
    order,
  };
  return (await interruptible((signal) => runInspection<'action'>(session, question, signal))).plan;
}

/** @throws RepriseError `approval-refused` where somebody rejected the plan */
export function refuseRejected(rejectedBecause: string | undefined): void {
  if (rejectedBecause === undefined) return;
  throw new RepriseError(
    'approval-refused',
    `the plan was rejected by ${rejectedBecause}`,
    'nothing was changed; start again when you want another plan',
  );
}
