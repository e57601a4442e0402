import { InvalidArgumentError, Option } from 'commander';
import type { Command } from 'commander';
import type { TemporalSession } from '../../client/connect.js';
import { chooseRepair, findIncidentOf } from '../../client/incidents.js';
import { startRepair, type StartedOperation } from '../../client/start.js';
import { RepriseError } from '../../domain/errors.js';
import { repairWorkflowId } from '../../domain/operation/names.js';
import type { ConflictRule, RepairOrder, RepairSource } from '../../domain/operation/orders.js';
import { repairStrategies } from '../../domain/table/strategies.js';
import { isRepairPlan } from '../../domain/table/repair.js';
import { repairOutcomeText, repairPlanText } from '../../domain/table/repair-text.js';
import { parseTableName } from '../../domain/table/table-name.js';
import type { RecoveryTarget } from '../../domain/target/target.js';
import type { RepairOutput } from '../../workflows/api.js';
import type { Cli } from '../cli-context.js';
import { byOption, collect, countBetween, policyOption, targetOption } from '../common-options.js';
import { type CommonOptions, define } from '../define-command.js';
import { detached, detachedText, planBeforeDetaching, planToShow, waitFor, waitForPlan } from '../long-operation.js';
import { columnNames, parseXid, type ScopeFlags, scopeOf, scopeOptions, tableArguments } from '../table-options.js';

/** A temporary instance is restored before the plan. */
const PLANNING_MS = 7 * 86_400_000;

interface ChangeOptions extends ScopeFlags {
  readonly conflicts?: ConflictRule;
  readonly takeKey?: readonly (readonly (string | null)[])[];
  readonly fireTriggers?: boolean;
  readonly batchRows?: number;
  readonly by?: string;
}

interface RepairOptions extends ChangeOptions {
  readonly xid?: string;
  readonly good?: RecoveryTarget;
  readonly bad?: RecoveryTarget;
  readonly to?: RecoveryTarget;
  readonly backup?: string;
  readonly strategy?: RepairOrder['strategy'];
  readonly policy?: string;
  readonly key?: readonly string[];
  readonly incident?: string;
}

/** `reprise table repair` and `reprise table undo`. */
export function defineTableRepair(table: Command, cli: Cli): void {
  define<RepairOptions>(table, cli, {
    usage: 'repair <cluster> <database> <table>',
    summary: 'put rows of a table right, after the approval of the very changes',
    description: [
      'With --xid: exactly what this transaction did is undone, and what came later is kept. With --good and --bad: what changed between the two. With --to or --backup: rows become as they were then, as --strategy says.',
      'A row that changed for another reason too is a conflict: it is listed, and stays as it is unless --conflicts says otherwise.',
    ].join('\n'),
    argumentHelp: tableArguments,
    examples: [
      'table repair mairie mairie metier.demandes_rdv --xid 1234',
      'table repair mairie mairie metier.demandes_rdv --good 2026-11-21T02:10:00Z --bad 2026-11-21T02:20:00Z',
      'table repair mairie mairie metier.demandes_rdv --to 2026-11-21T02:10:00Z --strategy insert-missing --dry-run',
    ],
    options: [
      new Option('--xid <number>', 'undo this transaction').argParser(parseXid),
      targetOption('--good <target>', 'the state before the damage'),
      targetOption('--bad <target>', 'the state after the damage'),
      targetOption('--to <target>', 'rows as they were at this target'),
      new Option('--backup <id>', 'rows as they are in this backup'),
      new Option(
        '--strategy <name>',
        'with --to or --backup: which differences are corrected; undo is what --xid, and --good with --bad, do anyway',
      ).choices(repairStrategies),
      policyOption('the first that leads to the target'),
      new Option('--key <column>', 'tells rows apart, where the table has no key; repeat it').argParser(collect),
      new Option('--incident <id>', 'as the repair of this incident (`reprise incident start table-corruption`)'),
      ...changeOptions(),
    ],
    changes: true,
    takesYes: true,
    long: true,
    run: repair,
  });
  define<ChangeOptions & { repair: string }>(table, cli, {
    usage: 'undo <cluster> <database> <table>',
    summary: 'take back what a repair did, after the approval of the very changes',
    argumentHelp: tableArguments,
    examples: [
      'table undo mairie mairie metier.demandes_rdv --repair 20261121-021500-abc123',
      'table undo mairie mairie metier.demandes_rdv --repair 20261121-021500-abc123 --dry-run',
    ],
    options: [
      new Option('--repair <id>', 'id of the repair, as its report has it').makeOptionMandatory(),
      ...changeOptions().filter(
        ({ long }) => !['--conflicts', '--take-key'].includes(long ?? '') && long?.startsWith('--where') !== true,
      ),
    ],
    changes: true,
    takesYes: true,
    long: true,
    run: (self, names, { repair: given, ...options }) => {
      const prefix = repairWorkflowId(names[0] ?? '', '');
      const operationId = given.startsWith(prefix) ? given.slice(prefix.length) : given;
      return carryOut(self, names, { source: { kind: 'repair', operationId }, strategy: 'undo' }, options);
    },
  });
}

function changeOptions(): Option[] {
  return [
    ...scopeOptions(),
    new Option(
      '--conflicts <rule>',
      'rows that changed again: keep (default), take, or newest:COLUMN, the newer of the two by a column',
    ).argParser(conflictRule),
    new Option(
      '--take-key <key>',
      'of rows that changed again, put the one with this key right too; several columns as a JSON array; repeat it',
    )
      .argParser((text, earlier: ChangeOptions['takeKey']) => [...(earlier ?? []), keyOf(text)])
      .conflicts('conflicts'),
    new Option('--fire-triggers', 'let the triggers of the table fire (default: rows become exactly as approved)'),
    new Option('--batch-rows <count>', 'rows in a transaction (default: all in one)').argParser(
      countBetween(100, 1_000_000),
    ),
    byOption(),
  ];
}

/** A key of one column as it is, of several as a JSON array of texts and nulls. */
function keyOf(text: string): (string | null)[] {
  if (!/^\s*\[/.test(text)) return [text];
  try {
    const values = JSON.parse(text) as unknown;
    if (Array.isArray(values) && values.length > 0)
      return values.map((value: unknown) => (value === null ? null : String(value)));
  } catch {
    // Said below.
  }
  throw new InvalidArgumentError('It is a value, or a JSON array such as ["2026-11-21","4711"].');
}

function conflictRule(text: string): ConflictRule {
  if (text === 'keep' || text === 'take') return { rule: text };
  const column = /^newest:(.+)$/s.exec(text)?.[1];
  if (column !== undefined) return { rule: 'newest', column };
  throw new RepriseError('usage', `'${text}' is no rule for conflicts`, 'write keep, take or newest:COLUMN');
}

async function repair(cli: Cli, names: readonly string[], options: RepairOptions & CommonOptions): Promise<void> {
  const { policy, key, incident } = options;
  if (policy !== undefined) await cli.policy(names[0] ?? '', policy);
  const source = sourceOf(options);
  const strategy = options.strategy ?? (source.kind === 'state' ? undefined : 'undo');
  if (strategy === undefined || (strategy === 'undo' && source.kind === 'state'))
    throw new RepriseError(
      'usage',
      strategy === undefined
        ? 'it is not said which differences are corrected'
        : '--strategy undo takes a transaction back, or what changed between two instants, not one state',
      'add --strategy replace, upsert, insert-missing or delete-extra',
    );
  if (source.kind !== 'state' && strategy !== 'undo')
    throw new RepriseError(
      'usage',
      `--strategy ${strategy} is for --to and --backup: a change is undone as a whole`,
      'omit --strategy',
    );
  const named = policy === undefined || source.kind === 'repair' ? source : { ...source, policy };
  return carryOut(cli, names, { source: named, strategy, key: columnNames(key) }, { ...options, incident });
}

/** @throws RepriseError `usage` where not exactly one way is named */
function sourceOf({ xid, good, bad, to, backup }: RepairOptions): RepairSource {
  const ways: RepairSource[] = [
    ...(xid === undefined ? [] : [{ kind: 'transaction' as const, xid }]),
    ...(good === undefined || bad === undefined ? [] : [{ kind: 'between' as const, good, bad }]),
    ...(to === undefined ? [] : [{ kind: 'state' as const, at: to }]),
    ...(backup === undefined ? [] : [{ kind: 'state' as const, at: { kind: 'backup' as const, id: backup } }]),
  ];
  const [way, ...others] = ways;
  if (way === undefined || others.length > 0 || (good === undefined) !== (bad === undefined))
    throw new RepriseError(
      'usage',
      way === undefined ? 'it is not said what is put right' : 'several ways are named',
      'name one: --xid NUMBER (reprise wal transactions), --good TARGET --bad TARGET, --to TARGET, or --backup ID',
    );
  return way;
}

async function carryOut(
  cli: Cli,
  [cluster = '', database = '', name = '']: readonly string[],
  what: Pick<RepairOrder, 'source' | 'strategy' | 'key'>,
  options: ChangeOptions & CommonOptions & { readonly incident?: string },
): Promise<void> {
  await cli.cluster(cluster);
  const { takeKey, fireTriggers, batchRows, dryRun } = options;
  const conflicts: ConflictRule | undefined =
    takeKey === undefined ? options.conflicts : { rule: 'keys', keys: takeKey.map((key) => [...key]) };
  const order: RepairOrder = {
    ...{ database, table: parseTableName(name), ...what, scope: scopeOf(options), conflicts },
    ...{ fireTriggers, batchRows },
  };
  await cli.withTemporal(async (session) => {
    const operation = await start(session, { cluster, requester: cli.person(options.by), order }, options);
    const { workflowId, operationId } = operation;
    if (options.detach && dryRun !== true) {
      const plan = await planBeforeDetaching(cli, session, operation, isRepairPlan, PLANNING_MS);
      return cli.print({ ...(await detached(cli, session, workflowId)), plan }, (view, screen) =>
        [view.plan === null ? '' : repairPlanText(view.plan), detachedText(view, screen)].filter(Boolean).join('\n\n'),
      );
    }
    const show = (): Promise<string | null> =>
      planToShow(
        ...([session, workflowId, isRepairPlan] as const),
        (plan) => cli.planForPeople(repairPlanText(plan)),
        PLANNING_MS,
      );
    const result = await (dryRun === true
      ? waitForPlan<RepairOutput>(cli, session, operation, options)
      : waitFor<RepairOutput>(cli, session, operation, options, show()));
    const { state, plan, outcome } = result;
    await cli.print({ dryRun: dryRun === true, workflowId, operationId, state, plan, ...outcome }, () => {
      if (plan === null) return state;
      if (outcome !== null) return repairOutcomeText(plan, outcome);
      const ended = state === 'rejected' ? 'rejected' : 'nothing to do';
      return `${repairPlanText(plan, { waits: false })}${dryRun === true ? '' : `\n${ended}`}`;
    });
    if (state === 'rejected')
      throw new RepriseError(
        'approval-refused',
        `the plan was rejected by ${result.rejectedBecause ?? 'a person'}`,
        result.left ?? 'nothing was changed; start again when you want another plan',
      );
  });
}

/** By itself, or as the repair of an incident; a plan that is only looked at belongs to none. */
async function start(
  session: TemporalSession,
  request: Parameters<typeof startRepair>[1],
  { incident: given, dryRun }: CommonOptions & { readonly incident?: string },
): Promise<StartedOperation> {
  const incident = given === undefined ? null : await findIncidentOf(session, request.cluster, given);
  if (dryRun === true) return startRepair(session, { ...request, planOnly: true });
  if (incident === null) return startRepair(session, request);
  const { requester: by, order } = request;
  return chooseRepair(session, incident, { by, order });
}
