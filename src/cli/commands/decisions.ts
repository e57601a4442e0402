import { Option } from 'commander';
import type { Command } from 'commander';
import { actionPlanText, isActionPlan } from '../../domain/approval/actions.js';
import { requireNamed, shortDigest } from '../../domain/approval/approval-policy.js';
import { RepriseError } from '../../domain/errors.js';
import type { RecoveryTarget } from '../../domain/target/target.js';
import { formatTarget } from '../../domain/target/target.js';
import { isMediaPlan } from '../../domain/media/media.js';
import { mediaPlanText } from '../../domain/media/media-text.js';
import { planText } from '../../domain/plan/plan-text.js';
import { type ApprovablePlan, isRecoveryPlan } from '../../domain/plan/plan.js';
import { isHoldPlan } from '../../domain/table/hold.js';
import { holdPlanText } from '../../domain/table/hold-text.js';
import { isRepairPlan } from '../../domain/table/repair.js';
import { repairPlanText } from '../../domain/table/repair-text.js';
import type { TemporalSession } from '../../client/connect.js';
import * as decisions from '../../client/decide.js';
import { toRepriseError } from '../../client/errors.js';
import type { Cli } from '../cli-context.js';
import { agree } from '../terminal/prompts.js';
import { byOption, reasonOption, targetOption } from '../common-options.js';
import { define } from '../define-command.js';
import type { CommonOptions } from '../define-command.js';

const workflow = { workflow: 'id of the recovery, as `reprise status` shows it' };
const example = 'recover/mairie/20261121-083600-a1b2c3';

/** What people decide about a recovery: approve, reject, promote, retarget, continue, pause. */
export function registerDecisions(program: Command, cli: Cli): void {
  defineApprove(program, cli);
  defineReject(program, cli);
  definePromote(program, cli);
  defineRetarget(program, cli);
  defineSignal(program, cli, 'continue', 'retry a failed step, or make the plan again', 'disk was enlarged');
  defineSignal(
    program,
    cli,
    'pause',
    'pause a recovery at its target, to inspect the data before promotion',
    'look at the data first',
  );
}

function defineApprove(program: Command, cli: Cli): void {
  define<{ plan?: string; reason: string; by?: string }>(program, cli, {
    usage: 'approve <workflow>',
    summary: 'approve the plan that waits for approval',
    description:
      'The approval is for exactly this plan. Without --plan, the waiting plan is shown and you are asked.\nWithout signatures the name of an approver is asserted, not verified: reports say so.',
    argumentHelp: workflow,
    examples: [
      `approve ${example} --reason "instance lost, confirmed by phone"`,
      `approve ${example} --plan 3f9c1a2b4d5e --by dba --reason "checked"`,
    ],
    options: [
      new Option('--plan <hex>', 'digest of the plan, its first 12 digits at least'),
      reasonOption(),
      byOption(),
    ],
    changes: true,
    asks: true,
    run: async (self, [given = ''], options) => {
      await self.withTemporal(async (session) => {
        const workflowId = await decisions.recoveryOf(session, given);
        const by = self.person(options.by);
        const plan = options.plan ?? (await planToApprove(self, session, workflowId, by, options));
        const approval = { plan, by, reason: options.reason };
        if (options.dryRun)
          return self.print(
            { dryRun: true, workflowId, approval },
            ({ approval: { by, reason } }) =>
              `would approve plan ${plan.slice(0, 12)} of ${workflowId} as ${by}: ${reason}`,
          );
        const answer = await decisions.approve(session, workflowId, approval).catch((error: unknown) => {
          throw options.by === undefined ? withName(error, by) : error;
        });
        await self.print(
          { workflowId, ...approval, ...answer, assurance: 'asserted' },
          (view) => `${approvedText(view)}\n  follow it: ${self.command('watch', workflowId)}`,
        );
      });
    },
  });
}

/** Whoever gave no name is told under which one they were refused. */
function withName(error: unknown, by: string): RepriseError {
  const failure = toRepriseError(error);
  if (failure.code !== 'approval-refused') return failure;
  const taken = `you were taken for ${by}; to approve as somebody else: --by NAME`;
  return new RepriseError(failure.code, failure.message, [failure.hint, taken].filter(Boolean).join('; '));
}

/**
 * The digest of the plan now waiting, after it was shown and agreed to.
 * @throws RepriseError `approval-refused` before that, for a person whom the plan does not name
 */
async function planToApprove(
  cli: Cli,
  session: TemporalSession,
  workflowId: string,
  by: string,
  options: CommonOptions & { readonly reason: string },
): Promise<string> {
  const plan = await decisions.waitingPlan(session, workflowId);
  if (plan === null)
    throw new RepriseError(
      'plan-unknown',
      `${workflowId} has no plan to approve yet`,
      `see what it does: \`reprise status ${workflowId}\``,
    );
  requireNamed(plan, approvalOf(plan), { by, workflowId });
  if (cli.format === 'table') cli.say(cli.planForPeople(textOf(plan)));
  if (options.yes !== true && options.dryRun !== true) {
    const digest = shortDigest(plan);
    const words = ['approve', workflowId, '--plan', digest, '--by', by, '--reason', options.reason];
    await agree(cli, `Approve plan ${digest}?`, `plan ${digest} was not approved`, cli.command(...words));
  }
  return plan.digest;
}

function approvalOf(plan: ApprovablePlan): { readonly from: readonly string[] } | null | undefined {
  return isRecoveryPlan(plan) || isActionPlan(plan) || isMediaPlan(plan) || isRepairPlan(plan) || isHoldPlan(plan)
    ? plan.observed.approval
    : null;
}

function textOf(plan: ApprovablePlan): string {
  if (isRecoveryPlan(plan)) return planText(plan);
  if (isActionPlan(plan)) return actionPlanText(plan);
  if (isRepairPlan(plan)) return repairPlanText(plan);
  if (isHoldPlan(plan)) return holdPlanText(plan);
  return isMediaPlan(plan) ? mediaPlanText(plan) : `plan ${plan.digest}`;
}

function approvedText({ plan, by, missing }: { plan: string; by: string; missing: number }): string {
  const rest =
    missing === 0 ? 'no further approval is needed' : `${missing} more approval${missing === 1 ? '' : 's'} needed`;
  return `plan ${plan.slice(0, 12)} approved by ${by} (asserted, not signed): ${rest}`;
}

function defineReject(program: Command, cli: Cli): void {
  define<{ reason: string; by?: string }>(program, cli, {
    usage: 'reject <workflow>',
    summary: 'reject a plan, or end an operation that waits for a person',
    argumentHelp: workflow,
    examples: [`reject ${example} --reason "wrong cluster"`, `reject ${example} --by dba --reason "server came back"`],
    options: [reasonOption(), byOption()],
    changes: true,
    run: async (self, [given = ''], options) => {
      await decide(self, given, options, async (session, workflowId, decision) => {
        await decisions.reject(session, workflowId, decision);
        return `rejected: ${workflowId}`;
      });
    },
  });
}

function definePromote(program: Command, cli: Cli): void {
  define<{ reason?: string; by?: string }>(program, cli, {
    usage: 'promote <workflow>',
    summary: 'promote a recovered server that is paused at its target',
    argumentHelp: workflow,
    examples: [`promote ${example}`, `promote ${example} --reason "appointments of the morning are there"`],
    options: [reasonOption(false), byOption()],
    changes: true,
    run: async (self, [given = ''], options) => {
      await decide(self, given, options, async (session, workflowId, decision) => {
        await decisions.promote(session, workflowId, decision);
        return `promoted by ${decision.by} (asserted, not signed): ${workflowId}`;
      });
    },
  });
}

function defineRetarget(program: Command, cli: Cli): void {
  define<{ to: RecoveryTarget; reason?: string; by?: string }>(program, cli, {
    usage: 'retarget <workflow>',
    summary: 'continue a paused recovery to a later target',
    argumentHelp: workflow,
    examples: [
      `retarget ${example} --to 2026-11-21T02:20:00Z`,
      `retarget ${example} --to lsn:0/16B3740 --reason "too early"`,
    ],
    options: [targetOption().makeOptionMandatory(), reasonOption(false), byOption()],
    changes: true,
    run: async (self, [given = ''], options) => {
      await decide(self, given, options, async (session, workflowId, decision) => {
        await decisions.retarget(session, workflowId, { ...decision, target: options.to });
        return `continuing to ${formatTarget(options.to)}: ${workflowId}`;
      });
    },
  });
}

function defineSignal(program: Command, cli: Cli, name: 'continue' | 'pause', summary: string, reason: string): void {
  define<{ reason?: string; by?: string }>(program, cli, {
    usage: `${name} <workflow>`,
    summary,
    argumentHelp: workflow,
    examples: [`${name} ${example}`, `${name} ${example} --reason "${reason}"`],
    options: [reasonOption(false), byOption()],
    changes: true,
    run: async (self, [given = ''], options) => {
      // An incident takes `continue` itself: it plans again after a recovery that failed.
      const direct = name === 'continue';
      await decide(
        self,
        given,
        options,
        async (session, workflowId, decision) => {
          await decisions.signal(session, workflowId, name, decision);
          return `${name} sent to ${workflowId}`;
        },
        direct,
      );
    },
  });
}

async function decide(
  cli: Cli,
  given: string,
  options: CommonOptions & { reason?: string; by?: string },
  send: (session: TemporalSession, workflowId: string, decision: { by: string; reason: string }) => Promise<string>,
  direct = false,
): Promise<void> {
  await cli.withTemporal(async (session) => {
    const workflowId = direct ? given : await decisions.recoveryOf(session, given);
    const decision = { by: cli.person(options.by), reason: options.reason ?? 'none given' };
    if (options.dryRun)
      return cli.print(
        { dryRun: true, workflowId, ...decision },
        () => `would send it to ${workflowId} as ${decision.by}`,
      );
    const text = await send(session, workflowId, decision);
    await cli.print(
      { workflowId, ...decision, sent: true },
      () => `${text}\n  follow it: ${cli.command('watch', workflowId)}`,
    );
  });
}
