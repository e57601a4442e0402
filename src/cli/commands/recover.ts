import { Option } from 'commander';
import type { Command } from 'commander';
import { RepriseError } from '../../domain/errors.js';
import type { RecoveryLine } from '../../domain/operation/inspections.js';
import type { RecoveryOrder } from '../../domain/operation/orders.js';
import { isRecoveryPlan } from '../../domain/plan/plan.js';
import { planText } from '../../domain/plan/plan-text.js';
import type { ThawTier } from '../../domain/storage/storage-classes.js';
import type { RecoveryTarget } from '../../domain/target/target.js';
import { parseTimelineChoice, type TimelineChoice } from '../../domain/target/timeline-choice.js';
import type { RecoverOutput } from '../../workflows/api.js';
import { runInspection } from '../../client/inspect.js';
import type { TemporalSession } from '../../client/connect.js';
import { chooseRecovery, findIncidentOf } from '../../client/incidents.js';
import { newOperationId, type StartedOperation, startRecovery } from '../../client/start.js';
import type { Cli } from '../cli-context.js';
import { byOption, policyOption, targetOption } from '../common-options.js';
import { define } from '../define-command.js';
import { durationInWords } from '../../domain/text/text.js';
import { facts, instant, type Screen } from '../terminal/tables.js';
import { recoveryEndText } from '../terminal/outcome-text.js';
import { detached, detachedText, interruptible, waitFor, planToShow, planBeforeDetaching } from '../long-operation.js';

interface RecoverOptions {
  readonly policy?: string;
  readonly to: RecoveryTarget;
  readonly timeline?: TimelineChoice;
  readonly into: string;
  readonly pause?: boolean;
  readonly database?: string;
  readonly thawTier?: ThawTier;
  readonly withMedia?: string;
  readonly detachReplication?: boolean;
  readonly incident?: string;
  readonly by?: string;
}

/** `reprise recover` */
export function registerRecover(program: Command, cli: Cli): void {
  define<RecoverOptions>(program, cli, {
    usage: 'recover <cluster> [of]',
    summary: 'recover a cluster from its backups, after the approval of a plan; or list past recoveries',
    description: [
      'A plan is made first: nothing is changed before it is approved (`reprise approve`). The old data is kept under another name, unless `recovery: old_data` of the cluster says that it is overwritten.',
      'TARGET is latest | TIME | lsn:X | xid:N | before-xid:N | name:S | end-of-backup | backup:ID. A TIME is 2026-11-21T02:15:00Z, with another offset, -10min (before now), or "2026-11-21 03:15 Europe/Paris".',
      '`reprise recover list [CLUSTER]` shows past recoveries: when, to which target, how, with what result, and where the report is.',
      'Each recovery that goes back begins a new timeline. A target that may mean a timeline which was left is refused with both readings: name one with --timeline.',
    ].join('\n'),
    argumentHelp: {
      cluster: 'name of the cluster in reprise.yml; or list',
      of: 'with list: recoveries of this cluster only',
    },
    examples: [
      'recover list mairie',
      'recover mairie --dry-run',
      'recover mairie --to 2026-11-21T02:15:00Z --pause',
      'recover mairie --to -10min --into beside',
      'recover mairie --to 2026-11-21T02:15:00Z --with-media photos',
      'recover mairie --database mairie --policy physical --to 2026-11-21T02:15:00Z',
      'recover mairie --policy nightly-dump --to latest --into beside --detach',
    ],
    options: [
      policyOption('the one that can recover to the target'),
      targetOption().default({ kind: 'latest' }, 'latest'),
      new Option('--timeline <which>', 'N, latest or backup: the history to follow').argParser(parseTimelineChoice),
      new Option('--into <place>', 'in-place, or a name under recovery.targets').default('in-place'),
      new Option('--pause', 'pause at the target, to inspect the data, until `reprise promote`'),
      new Option('--database <name>', 'this database only; from a physical backup by way of a temporary instance'),
      new Option(
        '--detach-replication',
        'replace databases that have subscriptions or logical slots: these stay with the old databases, and you rebuild them (dumps)',
      ),
      new Option('--with-media <name>', 'recover these media to the same point in time, in one plan'),
      new Option(
        '--thaw-tier <tier>',
        'tier of the thaw of files in an archive class; the plan shows price and time',
      ).choices(['Expedited', 'Standard', 'Bulk']),
      new Option(
        '--incident <id>',
        'as what was chosen in this incident (`reprise incident start bad-migration`); needs --database',
      ),
      byOption(),
    ],
    changes: true,
    takesYes: true,
    long: true,
    run: async (self, [cluster = '', of], options) => {
      // A cluster of that name has the older right to it.
      if (cluster === LIST && (await self.config()).clusters[LIST] === undefined) return listRecoveries(self, of);
      if (of !== undefined)
        throw new RepriseError(
          'usage',
          `recover takes one cluster, and ${of} is a second`,
          'see `reprise recover --help`',
        );
      const order = await orderOf(self, cluster, options);
      const request = { cluster, requester: self.person(options.by), order };
      if (options.dryRun) {
        const question = { kind: 'plan' as const, ...request, operationId: newOperationId() };
        const { plan } = await self.withTemporal((session) =>
          interruptible((signal) => runInspection<'plan'>(session, question, signal), options),
        );
        return self.print({ dryRun: true, workflowId: null, plan }, (view) =>
          self.planForPeople(planText(view.plan, { waits: false })),
        );
      }
      await self.withTemporal(async (session) => {
        const operation = await startOrChoose(session, request, options.incident);
        const { workflowId } = operation;
        if (options.detach) {
          const plan = await planBeforeDetaching(self, session, operation, isRecoveryPlan);
          return self.print({ ...(await detached(self, session, workflowId)), plan }, (view, screen) =>
            [view.plan === null ? '' : self.planForPeople(planText(view.plan)), detachedText(view, screen)]
              .filter(Boolean)
              .join('\n\n'),
          );
        }
        const result = await waitFor<RecoverOutput>(
          self,
          session,
          operation,
          options,
          planToShow(session, workflowId, isRecoveryPlan, (plan) => self.planForPeople(planText(plan))),
        );
        const { state, plan, outcome, nothingToDo } = result;
        const config = await self.config();
        await self.print({ workflowId, state, plan, nothingToDo, ...outcome }, (_, screen) =>
          recoveryEndText(self, workflowId, result, config, screen),
        );
        if (result.state === 'rejected')
          throw new RepriseError(
            'approval-refused',
            `the plan was rejected by ${result.rejectedBecause ?? 'a person'}`,
            result.left ?? 'nothing was changed; start again when you want another plan',
          );
      });
    },
  });
}

/** By itself, or as what was chosen in an incident. */
async function startOrChoose(
  session: TemporalSession,
  request: Parameters<typeof startRecovery>[1],
  given: string | undefined,
): Promise<StartedOperation> {
  if (given === undefined) return startRecovery(session, request);
  const { cluster, requester: by, order } = request;
  return chooseRecovery(session, await findIncidentOf(session, cluster, given), { by, order });
}

const LIST = 'list';

async function listRecoveries(cli: Cli, cluster: string | undefined): Promise<void> {
  if (cluster !== undefined) await cli.cluster(cluster);
  const { recoveries } = await cli.withTemporal((session) =>
    interruptible((signal) => runInspection<'recoveries'>(session, { kind: 'recoveries', cluster }, signal)),
  );
  await cli.print({ recoveries }, (view, screen) => recoveryTable(view.recoveries, screen));
}

function recoveryTable(recoveries: readonly RecoveryLine[], screen: Screen): string {
  if (recoveries.length === 0) return 'there were no recoveries';
  return recoveries
    .map((one) =>
      [
        `${one.workflowId}  ${one.result}`,
        facts(
          [
            ['planned', `${instant(one.at)}, for ${one.requester} (asserted)`],
            [
              'target',
              `${one.target.requested}${one.target.reached === null ? '' : `, reached ${one.target.reached}`}`,
            ],
            ['method', `${one.method} of policy ${one.policy}, ${one.into}`],
            ...(one.rtoSeconds === null ? [] : [['RTO', durationInWords(one.rtoSeconds)] as [string, string]]),
            ...(one.report === null
              ? []
              : [['report', `reprise incident report ${one.workflowId}`] as [string, string]]),
          ],
          screen,
        ),
      ].join('\n'),
    )
    .join('\n\n');
}

async function orderOf(cli: Cli, cluster: string, options: RecoverOptions): Promise<RecoveryOrder> {
  const { recovery } = await cli.cluster(cluster);
  if (options.policy !== undefined) await cli.policy(cluster, options.policy);
  if (options.into !== 'in-place' && recovery.targets[options.into] === undefined) {
    const { didYouMean } = await import('../../config/suggest.js');
    const known = ['in-place', ...Object.keys(recovery.targets)];
    throw new RepriseError(
      'not-found',
      `${cluster} has no recovery target "${options.into}"`,
      `${didYouMean(options.into, known, 'targets')}; add it to reprise.yml: clusters.${cluster}.recovery.targets.${options.into}: { data_dir: DIRECTORY, port: PORT }`,
    );
  }
  if (options.withMedia !== undefined && (await cli.config()).media[options.withMedia]?.cluster !== cluster) {
    const { didYouMean } = await import('../../config/suggest.js');
    const known = Object.values((await cli.config()).media)
      .filter((media) => media.cluster === cluster)
      .map(({ name }) => name);
    throw new RepriseError(
      'not-found',
      `${cluster} has no media "${options.withMedia}"`,
      didYouMean(options.withMedia, known, 'media'),
    );
  }
  const { policy, to, timeline, into, database, thawTier, withMedia, detachReplication, pause = false } = options;
  return { policy, target: to, timeline, into, pause, database, thawTier, withMedia, detachReplication };
}
