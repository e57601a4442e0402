import { Option } from 'commander';
import type { Command } from 'commander';
import { DROPS_FIRST, actionPlanText } from '../../domain/approval/actions.js';
import type { KeptItem } from '../../domain/backup/records.js';
import { RepriseError } from '../../domain/errors.js';
import { sizeInWords } from '../../domain/text/text.js';
import { runInspection } from '../../client/inspect.js';
import type { TemporalSession } from '../../client/connect.js';
import type { Cli } from '../cli-context.js';
import { remember } from '../remember.js';
import { requireTerminal } from '../terminal/prompts.js';
import { byOption } from '../common-options.js';
import { askUnlessApproved, carryOutAction, previewAction } from '../confirmed-action.js';
import { type CommonOptions, define, group } from '../define-command.js';
import { instant, type Screen, screenTable } from '../terminal/tables.js';

/** `reprise kept ...` */
export function registerKept(program: Command, cli: Cli): void {
  const kept = group(program, 'kept', 'old data that a recovery kept');
  define<{ cluster?: string }>(kept, cli, {
    usage: 'list',
    summary: 'list old data that was kept and is not yet dropped',
    examples: ['kept list', 'kept list --cluster mairie --json'],
    options: [new Option('--cluster <name>', 'only of this cluster')],
    run: async (self, _args, { cluster }) => {
      if (cluster !== undefined) await self.cluster(cluster);
      const answer = await self.withTemporal((session) => runInspection<'kept'>(session, { kind: 'kept', cluster }));
      if (cluster === undefined) await remember(self, { kept: answer.kept });
      await self.print({ kept: answer.kept }, (view, screen) => keptTable(view.kept, screen));
    },
  });
  define<{ by?: string; cluster?: string }>(kept, cli, {
    usage: 'drop <id>',
    summary: 'delete old data permanently',
    description:
      'Where the cluster has an approval policy for kept-drop, it waits for the approval of its plan. Else it asks for the id, and runs only at a terminal of the host.',
    argumentHelp: { id: 'as `kept list` shows it' },
    examples: ['kept drop mairie-20261121-083600-a1b2c3 --dry-run', 'kept drop mairie-20261121-083600-a1b2c3 --yes'],
    options: [
      new Option('--cluster <name>', 'cluster of the old data: needed if the worker of another host is not running'),
      byOption(),
    ],
    changes: true,
    asks: true,
    long: true,
    run: (self, [id = ''], options) =>
      dropKeptItem(self, id, options, async (session) => {
        const { kept: items } = await runInspection<'kept'>(session, { kind: 'kept', cluster: options.cluster });
        const item = items.find((one) => one.id === id) ?? (await besideWithId(session, id, options.cluster));
        if (item) return item;
        throw new RepriseError(
          'not-found',
          `no old data is kept under "${id}"`,
          options.cluster === undefined
            ? 'reprise kept list; if its host is down: --cluster NAME'
            : 'reprise kept list',
        );
      }),
  });
}

/** A copy beside has a name too (`beside drop NAME`); plans name it by its id. */
async function besideWithId(
  session: TemporalSession,
  id: string,
  cluster: string | undefined,
): Promise<KeptItem | undefined> {
  if (!/\/beside(\/|$)/.test(id)) return undefined;
  const { copies } = await runInspection<'beside'>(session, { kind: 'beside', cluster });
  return copies.find((copy) => copy.id === id);
}

/**
 * Drops what a recovery has left, by an approved plan or, where the cluster has no policy for kept-drop, by who types its name.
 * `find`: the item of that name, as its host has it.
 */
export async function dropKeptItem(
  cli: Cli,
  name: string,
  options: CommonOptions & { readonly by?: string; readonly cluster?: string },
  find: (session: TemporalSession) => Promise<KeptItem>,
): Promise<void> {
  const dryRun = options.dryRun === true;
  const what = `deleting ${name} permanently`;
  if (!dryRun && !(await isApprovedSomewhere(cli, options.cluster))) requireTerminal(cli, what, options.yes);
  await cli.withTemporal(async (session) => {
    const item = await find(session);
    const order = { kind: 'kept-drop' as const, id: item.id, host: item.host };
    const plan = await previewAction(cli, session, item.cluster, order, options.by);
    for (const [what, text] of plan.observed.facts)
      if (what === DROPS_FIRST && !dryRun && cli.format === 'table') cli.say(`${DROPS_FIRST}: ${text}`);
    if (dryRun)
      return cli.print(
        { dryRun: true, dropped: [item], plan },
        (view, screen) =>
          `would drop:\n${keptTable(view.dropped, screen)}\n\n${actionPlanText(view.plan, { waits: false })}`,
      );
    const asked = {
      action: order.kind,
      cluster: item.cluster,
      subject: name,
      what,
    };
    const confirmed = await askUnlessApproved(cli, asked, options);
    const done = await carryOutAction(cli, session, order, asked, { ...options, confirmed });
    if (done === null) return;
    await cli.print(
      { workflowId: done.workflowId, dropped: done.outcome?.dropped ?? [], plan: done.plan },
      (view, screen) => `dropped:\n${keptTable(view.dropped, screen)}`,
    );
  });
}

/** Whether a policy may ask for an approval: the cluster of an id is known to its host only. */
async function isApprovedSomewhere(cli: Cli, named: string | undefined): Promise<boolean> {
  const clusters = named === undefined ? Object.values((await cli.config()).clusters) : [await cli.cluster(named)];
  return clusters.some(({ approvals }) => approvals['kept-drop'] !== undefined);
}

function keptTable(items: readonly KeptItem[], screen: Screen): string {
  if (items.length === 0) return 'nothing is kept';
  const rows = items.map((item) => [
    item.id,
    item.cluster,
    item.sizeBytes === null ? '-' : sizeInWords(item.sizeBytes),
    instant(item.since),
    item.host,
    item.what,
    [item.where, ...(item.parts ?? [])].join(', '),
  ]);
  return screenTable(['id', 'cluster', 'size', 'since', 'host', 'what', 'where'], rows, screen);
}
