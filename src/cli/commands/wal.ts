import { Option } from 'commander';
import type { Command } from 'commander';
import type { TemporalSession } from '../../client/connect.js';
import { dropExploration } from '../../client/explore.js';
import { runInspection } from '../../client/inspect.js';
import { startExploration } from '../../client/start.js';
import { RepriseError } from '../../domain/errors.js';
import { MOST_TRANSACTIONS, type WalTransactionsAnswer } from '../../domain/operation/wal-transactions.js';
import { compareInstants } from '../../domain/target/instant.js';
import type { RecoveryTarget } from '../../domain/target/target.js';
import { parseTableName } from '../../domain/table/table-name.js';
import type { Cli } from '../cli-context.js';
import { parseCount, policyOption, targetOption, timeOption } from '../common-options.js';
import { type CommonOptions, define, group } from '../define-command.js';
import { interruptible } from '../long-operation.js';
import { untilOpen } from './explore.js';
import { liveCount } from '../terminal/progress.js';
import { walTransactionsText } from '../terminal/wal-text.js';

interface Options {
  readonly database?: string;
  readonly table?: string;
  readonly from: string;
  readonly to?: string;
  readonly minRows?: number;
  readonly limit?: number;
  readonly policy?: string;
  readonly timeline?: number;
  readonly namesAt?: RecoveryTarget;
  readonly namesIn?: string;
}

/** So long a temporary instance stays that only names tables, where the command line that made it is gone. */
const NAMING_SECONDS = 4 * 3600;

const DESCRIPTION =
  'Reads the archived WAL, and what the server has not archived yet where its worker can read it. Changes nothing, and needs ' +
  'nothing that was installed before. Tables are named by the server as it is now; where it does not answer they have numbers, and so ' +
  'have those that were dropped: --names-at restores an earlier time into a temporary instance, and names them by that. ' +
  'It does not show what was rolled back, unlogged and temporary tables, and sequences. Where WAL of the time is missing, it ' +
  'says so and exits with 3.';

/** `reprise wal ...` */
export function registerWal(program: Command, cli: Cli): void {
  const wal = group(program, 'wal', 'what happened, from the write-ahead log');
  define<Options>(wal, cli, {
    usage: 'transactions <cluster>',
    summary: 'list what transactions did to tables in a span of time, the most damage first',
    description: DESCRIPTION,
    argumentHelp: { cluster: 'name of the cluster in reprise.yml' },
    examples: [
      'wal transactions mairie --from -2h',
      'wal transactions mairie --database mairie --table metier.demandes_rdv --from "2026-11-21 08:00 Europe/Paris" --to "2026-11-21 09:30 Europe/Paris"',
      'wal transactions mairie --from -10min --min-rows 1000 --json',
      'wal transactions mairie --from -2h --names-at 2026-11-21T07:00:00Z --database mairie --table metier.dropped',
    ],
    options: [
      timeOption('--from <time>', 'committed at this time or later').makeOptionMandatory(),
      timeOption('--to <time>', 'committed at this time or earlier (default: now)'),
      new Option('--database <name>', 'only what was done in this database'),
      new Option('--table <schema.table>', 'only what was done to this table, with its partitions; needs --database'),
      new Option('--min-rows <count>', 'only transactions that changed so many rows (default: 1)').argParser(
        parseCount,
      ),
      new Option('--limit <count>', 'list so many transactions (default: 20)').argParser(parseCount),
      policyOption('the one that archives WAL'),
      new Option(
        '--timeline <number>',
        'the history to read, of one that a recovery has left (default: the newest)',
      ).argParser(parseCount),
      targetOption('--names-at <target>', 'name tables that are gone as they were named at this target'),
      new Option('--names-in <id>', 'the same by a temporary instance that there is (reprise explore list)').conflicts(
        'namesAt',
      ),
    ],
    run: (self, [cluster = ''], options) => runTransactions(self, cluster, options),
  });
}

async function runTransactions(self: Cli, cluster: string, options: Options & CommonOptions): Promise<void> {
  await self.cluster(cluster);
  requireWhole(options);
  const { from, to = new Date().toISOString(), database, table, minRows, limit, policy, timeline } = options;
  const filter = { database, table, minRows, limit, policy, timeline };
  const show = liveCount(self.terminal, 'segments of WAL read');
  const answer = await self.withTemporal((session) =>
    withNamesIn(self, session, cluster, options, (namesIn) => {
      const question = { ...filter, kind: 'wal-transactions' as const, cluster, from, to, namesIn };
      return interruptible((signal) =>
        runInspection<'wal-transactions'>(session, question, signal, ({ done, total }) => {
          if (self.showsProgress) show(done, total ?? done);
        }),
      );
    }),
  );
  show(0, 0);
  await self.print({ cluster, ...answer }, (view, screen) => walTransactionsText(view, screen));
  failUnlessComplete(answer);
}

/** @throws RepriseError `usage` */
function requireWhole({ from, to, table, database, limit }: Options): void {
  const now = new Date().toISOString();
  if (to === undefined && compareInstants(from, now) > 0)
    throw new RepriseError(
      'usage',
      `--from ${from} is still to come: it is ${now}`,
      'name a time that is over, as in --from -2h',
    );
  if (to !== undefined && compareInstants(from, to) > 0)
    throw new RepriseError('usage', `--from ${from} is after --to ${to}`, 'exchange them');
  if (table !== undefined) parseTableName(table);
  if (table !== undefined && database === undefined)
    throw new RepriseError('usage', '--table needs the database of the table', 'add --database NAME');
  if (limit !== undefined && (limit < 1 || limit > MOST_TRANSACTIONS))
    throw new RepriseError('usage', `--limit is from 1 to ${MOST_TRANSACTIONS}`, 'name fewer, and a shorter time');
}

/** With a temporary instance that names tables, where one is asked for: made for that, it is removed afterwards. */
async function withNamesIn<T>(
  self: Cli,
  session: TemporalSession,
  cluster: string,
  options: Options & CommonOptions,
  ask: (namesIn: string | undefined) => Promise<T>,
): Promise<T> {
  const { namesAt: target, namesIn, policy, timeline } = options;
  if (target === undefined) return ask(namesIn);
  const by = self.person(undefined);
  const order = { target, policy, timeline, ttlSeconds: NAMING_SECONDS };
  const { operationId, ...operation } = await startExploration(session, { cluster, requester: by, order });
  const { workflowId } = operation;
  let answer: T;
  try {
    await untilOpen(self, session, { operationId, ...operation }, { ...options, cluster });
    answer = await ask(operationId);
  } catch (error) {
    // One that failed is gone already.
    await dropExploration(session, { workflowId }, { by }).catch(() => undefined);
    throw error;
  }
  await dropExploration(session, { workflowId }, { by });
  return answer;
}

/** @throws RepriseError `partly-done` where WAL of the time is missing */
function failUnlessComplete({ complete, missing }: WalTransactionsAnswer): void {
  if (complete) return;
  const ranges = missing.map(({ fromLsn, toLsn, kind }) =>
    kind === 'after' ? `from ${fromLsn} on` : `${fromLsn} to ${toLsn}`,
  );
  throw new RepriseError(
    'partly-done',
    `WAL of that time is missing: ${ranges.join(', ')}`,
    missing.every(({ kind }) => kind === 'after')
      ? 'the server has not archived it yet: ask again later, or archive it now with SELECT pg_switch_wal()'
      : 'what committed there is not listed; see the archive: reprise doctor',
  );
}
