import { Option } from 'commander';
import type { Command } from 'commander';
import type { TemporalSession } from '../../client/connect.js';
import { heldBy, type Hold, holdNamed, holdsOfTable, releaseHold } from '../../client/holds.js';
import { startHold } from '../../client/start.js';
import { RepriseError } from '../../domain/errors.js';
import { isHoldPlan } from '../../domain/table/hold.js';
import { heldInWords, holdPlanText } from '../../domain/table/hold-text.js';
import { formatTableName, parseTableName } from '../../domain/table/table-name.js';
import { visible } from '../../domain/text/text.js';
import type { HoldOutput } from '../../workflows/api.js';
import type { Cli } from '../cli-context.js';
import { byOption, parseSeconds } from '../common-options.js';
import { type CommonOptions, define } from '../define-command.js';
import {
  detached,
  detachedText,
  planBeforeDetaching,
  planToShow,
  waitForPlan,
  waitUntilSeen,
} from '../long-operation.js';
import { tableArguments } from '../table-options.js';

interface FreezeOptions extends CommonOptions {
  readonly reason?: string;
  readonly for?: number;
  readonly by?: string;
}

const example = 'table-freeze/mairie/20261121-083600-a1b2c3';

/** `reprise table freeze` and `reprise table release`. */
export function defineTableFreeze(table: Command, cli: Cli): void {
  define<FreezeOptions>(table, cli, {
    usage: 'freeze <cluster> <database> <table>',
    summary: 'stop what writes to a table, after an approval, until somebody releases it',
    description: [
      'Hooks and means are those of the table in the configuration (clusters.NAME.tables). Who may approve a repair of the table approves it.',
      'The command ends when the table is frozen. Repairs of the table go on meanwhile, and leave it frozen.',
    ].join('\n'),
    argumentHelp: tableArguments,
    examples: [
      'table freeze mairie mairie metier.demandes_rdv --reason "appointments are missing"',
      'table freeze mairie mairie metier.demandes_rdv --for 4h --detach',
    ],
    options: [
      new Option('--for <duration>', 'release it by itself after this time (default: when somebody does)').argParser(
        parseSeconds,
      ),
      new Option('--reason <text>', 'why; it stands in the plan'),
      byOption(),
    ],
    changes: true,
    takesYes: true,
    long: true,
    run: freeze,
  });
  define<{ reason: string; by?: string; dryRun?: boolean }>(table, cli, {
    usage: 'release <cluster> [database] [table]',
    summary: 'open a frozen table for writes again, and take its hooks back',
    description:
      'Name the table, or the workflow that keeps it frozen in place of all three. The table is opened first, then each hook is taken back, the last first. The command ends when that is done.',
    argumentHelp: {
      cluster: 'name of the cluster in reprise.yml, or the id of the workflow',
      database: tableArguments.database,
      table: tableArguments.table,
    },
    examples: ['table release mairie mairie metier.demandes_rdv --reason "repaired"', `table release ${example}`],
    options: [new Option('--reason <text>', 'why; it stands in the journal').default('none given'), byOption()],
    changes: true,
    takesYes: true,
    run: (self, [cluster = '', database, name], { reason, by, dryRun = false }) =>
      self.withTemporal(async (session) => {
        const holds = await holdsNamed(self, session, cluster, { database, name });
        const person = { by: self.person(by), reason };
        if (!dryRun) for (const hold of holds) await releaseHold(session, hold, person);
        await self.print({ dryRun, released: dryRun ? [] : holds, holds }, () =>
          holds
            .map((hold) =>
              dryRun
                ? `would release ${heldInWords(hold)} (${hold.workflowId})`
                : `${hold.workflowId} has released ${visible(formatTableName(hold.table))}`,
            )
            .join('\n'),
        );
      }),
  });
}

async function holdsNamed(
  cli: Cli,
  session: TemporalSession,
  first: string,
  { database, name }: { readonly database: string | undefined; readonly name: string | undefined },
): Promise<readonly Hold[]> {
  if (database === undefined && first.includes('/')) return [await holdNamed(session, first)];
  if (database === undefined || name === undefined)
    throw new RepriseError(
      'usage',
      'it is not said which table is released',
      'name cluster, database and table, or the workflow: reprise status shows it',
    );
  await cli.cluster(first);
  return holdsOfTable(session, { cluster: first, database, table: parseTableName(name) });
}

async function freeze(
  cli: Cli,
  [cluster = '', database = '', name = '']: readonly string[],
  options: FreezeOptions,
): Promise<void> {
  await cli.cluster(cluster);
  const { reason, for: forSeconds, dryRun } = options;
  const table = parseTableName(name);
  const order = {
    ...{ database, table },
    ...(forSeconds === undefined ? {} : { forSeconds }),
    ...(reason === undefined ? {} : { reason }),
  };
  await cli.withTemporal(async (session) => {
    const planOnly = dryRun === true ? { planOnly: true as const } : {};
    const operation = await startHold(session, { cluster, requester: cli.person(options.by), order, ...planOnly });
    const { workflowId, operationId } = operation;
    if (options.detach && dryRun !== true) {
      const plan = await planBeforeDetaching(cli, session, operation, isHoldPlan);
      return cli.print({ ...(await detached(cli, session, workflowId)), plan }, (view, screen) =>
        [view.plan === null ? '' : holdPlanText(view.plan), detachedText(view, screen)].filter(Boolean).join('\n\n'),
      );
    }
    if (dryRun === true) {
      const { state, plan } = await waitForPlan<HoldOutput>(cli, session, operation, options);
      return cli.print({ dryRun, workflowId, operationId, state, plan }, () =>
        plan === null ? state : holdPlanText(plan, { waits: false }),
      );
    }
    const held = await waitUntilSeen(cli, session, operation, options, {
      look: async () => {
        const view = await heldBy(session, workflowId);
        return view.since === null ? null : view;
      },
      leave: `it continues; see it: \`${cli.command('status', workflowId)}\`; end it: \`${cli.command('table', 'release', workflowId)}\``,
      plan: planToShow(session, workflowId, isHoldPlan, (plan) => cli.planForPeople(holdPlanText(plan))),
    });
    if (held === null) throw endedBefore((await operation.handle.result()) as HoldOutput);
    await cli.print({ dryRun: false, workflowId, operationId, state: 'frozen', ...held }, () =>
      [heldInWords(held), `release it: ${cli.command('table', 'release', workflowId)}`].join('\n'),
    );
  });
}

function endedBefore({ rejectedBecause }: HoldOutput): RepriseError {
  return new RepriseError(
    'approval-refused',
    rejectedBecause === undefined ? 'the table was released already' : `it was rejected by ${rejectedBecause}`,
    'nothing is blocked; start again when the table has to be frozen',
  );
}
