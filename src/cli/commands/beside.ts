import { Option } from 'commander';
import type { Command } from 'commander';
import { runInspection } from '../../client/inspect.js';
import type { TemporalSession } from '../../client/connect.js';
import { RepriseError } from '../../domain/errors.js';
import type { BesideCopy } from '../../domain/operation/inspections.js';
import { oneOf, sizeInWords } from '../../domain/text/text.js';
import type { Cli } from '../cli-context.js';
import { remember } from '../remember.js';
import { byOption } from '../common-options.js';
import { define, group } from '../define-command.js';
import { instant, type Screen, screenTable } from '../terminal/tables.js';
import { dropKeptItem } from './kept.js';

const argumentHelp = { name: 'as `beside list` shows it: a name under recovery.targets, or an id' };
const ofCluster = (): Option => new Option('--cluster <name>', 'only of this cluster');

/** `reprise beside ...` */
export function registerBeside(program: Command, cli: Cli): void {
  const beside = group(program, 'beside', 'copies that a recovery --into NAME has left');
  define<{ cluster?: string }>(beside, cli, {
    usage: 'list',
    summary: 'list the copies, with their ports, sizes, and whether they run',
    examples: ['beside list', 'beside list --cluster mairie --json'],
    options: [ofCluster()],
    run: async (self, _args, { cluster }) => {
      const copies = await self.withTemporal((session) => listed(self, session, cluster));
      if (cluster === undefined) await remember(self, { beside: copies });
      await self.print({ beside: copies }, (view, screen) => besideTable(view.beside, screen));
    },
  });
  define<{ cluster?: string; by?: string }>(beside, cli, {
    usage: 'stop <name>',
    summary: 'stop the server of a copy; its data stays',
    argumentHelp,
    examples: ['beside stop beside', 'beside stop beside --cluster mairie --dry-run'],
    options: [ofCluster(), byOption()],
    changes: true,
    run: (self, [name = ''], options) =>
      self.withTemporal(async (session) => {
        const copy = await named(self, session, name, options.cluster);
        const { cluster, id, host } = copy;
        const question = { kind: 'beside-stop' as const, cluster, id, host, by: self.person(options.by) };
        const { stopped } = options.dryRun
          ? { stopped: copy.state === 'running' }
          : await runInspection<'beside-stop'>(session, question);
        await self.print({ dryRun: options.dryRun, name, id, cluster, stopped }, (view) =>
          view.stopped ? `${options.dryRun ? 'would stop' : 'stopped'} ${name}` : `${name} is not running`,
        );
      }),
  });
  define<{ cluster?: string; by?: string }>(beside, cli, {
    usage: 'drop <name>',
    summary: 'delete a copy permanently; stop it first',
    description:
      'Where the cluster has an approval policy for kept-drop, it waits for the approval of its plan. Else it asks for the name, and runs only at a terminal of the host.',
    argumentHelp,
    examples: ['beside drop beside --dry-run', 'beside drop beside --cluster mairie --yes'],
    options: [ofCluster(), byOption()],
    changes: true,
    asks: true,
    long: true,
    run: (self, [name = ''], options) =>
      dropKeptItem(self, name, options, async (session) => {
        const copy = await named(self, session, name, options.cluster);
        if (options.dryRun !== true) refuseRunning(self, copy);
        return copy;
      }),
  });
}

/** The host refuses it too, at the end of a plan that would have been confirmed or approved for nothing. */
function refuseRunning(cli: Cli, { name, state, where, port }: BesideCopy): void {
  if (state !== 'running' || !where.startsWith('/')) return;
  throw new RepriseError(
    'conflict',
    `the server of ${name} is running, on port ${port}`,
    `stop it first: ${cli.command('beside', 'stop', name)}`,
  );
}

async function listed(cli: Cli, session: TemporalSession, cluster: string | undefined): Promise<readonly BesideCopy[]> {
  if (cluster !== undefined) await cli.cluster(cluster);
  return (await runInspection<'beside'>(session, { kind: 'beside', cluster })).copies;
}

/** The copy of that name. @throws RepriseError `not-found`; `usage` where several clusters have one */
async function named(
  cli: Cli,
  session: TemporalSession,
  name: string,
  cluster: string | undefined,
): Promise<BesideCopy> {
  // Of one that was replaced by a later recovery only the last is there.
  const found = (await listed(cli, session, cluster)).filter((copy) => copy.name === name || copy.id === name);
  const there = found.filter(({ state }) => state !== 'gone');
  const [copy, ...others] = there.length === 0 ? found.slice(-1) : there;
  if (!copy) throw new RepriseError('not-found', `there is no copy "${name}"`, 'reprise beside list');
  const clusters = [...new Set([copy, ...others].map((one) => one.cluster))];
  if (clusters.length > 1)
    throw new RepriseError(
      'usage',
      `several clusters have a copy "${name}": ${clusters.join(', ')}`,
      `name one: ${oneOf('--cluster', clusters)}`,
    );
  if (others.length > 0)
    throw new RepriseError(
      'usage',
      `${there.length} databases were recovered as "${name}"`,
      `name one: ${there.map(({ id }) => id).join(', or ')}`,
    );
  return copy;
}

function besideTable(copies: readonly BesideCopy[], screen: Screen): string {
  if (copies.length === 0) return 'no copy is there';
  const rows = copies.map((copy) => [
    copy.name,
    copy.cluster,
    copy.state,
    String(copy.port),
    copy.sizeBytes === null ? '-' : sizeInWords(copy.sizeBytes),
    instant(copy.since),
    copy.host,
    copy.where.startsWith('/') ? copy.where : `database ${copy.where}`,
  ]);
  return screenTable(['name', 'cluster', 'state', 'port', 'size', 'since', 'host', 'where'], rows, screen);
}
