import type pg from 'pg';
import type { InstanceOrder, RepairOrder, ScopeTerm } from '../../src/domain/operation/orders.js';
import { repairStrategies } from '../../src/domain/table/strategies.js';
import type { TableComparison } from '../../src/domain/table/compare.js';
import { withClient } from '../../src/postgres/connection/with-client.js';
import { seeded } from '../chaos/random.js';
import { randomHistories, type RandomHistory } from './random-histories.js';
import type { RepairLab } from './repair-lab.js';
import {
  type Beside,
  emptySchemas,
  keyOf,
  of,
  OWNER,
  run,
  same,
  type Snapshot,
  snapshot,
  takenBack,
} from './undo-suite.js';

const SCHEMA = 'dam"aged';
const STRATEGIES = repairStrategies.filter((one) => one !== 'undo');

/**
 * Random tables that are damaged in any way, put back to what they were by each strategy, with a scope or without; and that is taken back. Each
 * step tells what is not as it must be, a line each.
 */
export class ReplaceRound implements Beside {
  private readonly histories: readonly RandomHistory[];
  private readonly good: Snapshot[] = [];

  constructor(
    private readonly lab: RepairLab,
    private readonly seed: number,
    count: number,
  ) {
    this.histories = randomHistories(seed, count);
  }

  /** The tables as they are good. */
  async before(): Promise<void> {
    await emptySchemas(this.lab, [SCHEMA]);
    await this.asOwner(async (client) => {
      for (const history of this.histories) {
        await client.query(of(history, SCHEMA, history.make.join('; ')));
        for (const { statements } of history.before) for (const one of statements) await attempt(client, history, one);
        this.good.push(await snapshot(client, history, SCHEMA));
      }
    });
  }

  /** From the newest dump. */
  async fromDump(): Promise<readonly string[]> {
    await this.before();
    await this.lab.site.backUp('dump');
    const [operationId, target] = [`replace-dump-${this.seed}`, { kind: 'latest' as const }];
    return this.lab.withInstances(
      operationId,
      { good: target },
      () => this.replaced(operationId, target, 'dump'),
      'dump',
    );
  }

  after(operationId: string, xid: string): Promise<readonly string[]> {
    return this.replaced(operationId, { kind: 'before-xid', xid }, 'physical');
  }

  private async replaced(
    operationId: string,
    target: InstanceOrder['target'],
    policy: string,
  ): Promise<readonly string[]> {
    const { lab, seed } = this;
    const random = seeded(seed);
    await this.asOwner(async (client) => {
      for (const history of this.histories)
        for (const one of [...history.bad, ...history.after.flatMap(({ statements }) => statements)])
          await attempt(client, history, one);
    });
    const problems: string[] = [];
    for (const [index, history] of this.histories.entries()) {
      const was = this.good[index] ?? [];
      const one = { lab, operationId, index, history, was, target, policy, random };
      const found = await replaced(one).catch((error: unknown) => [String((error as Error).stack ?? error)]);
      problems.push(...found.map((line) => `REPRISE_CHAOS_SEED=${seed}, ${policy}, table ${history.name}: ${line}`));
    }
    return problems;
  }

  private asOwner(body: (client: pg.Client) => Promise<void>): Promise<void> {
    return withClient(this.lab.connection, 'mairie', async (client) => {
      await client.query(`SET ROLE ${OWNER}`);
      await body(client);
    });
  }
}

/** What the server refuses never came to be. */
async function attempt(
  client: pg.Client,
  history: RandomHistory,
  statement: RandomHistory['bad'][number],
): Promise<void> {
  await client.query('BEGIN');
  await run(client, history, SCHEMA, statement, 'one', '');
  await client.query(statement.rolledBack ? 'ROLLBACK' : 'COMMIT');
}

interface Case {
  readonly lab: RepairLab;
  readonly operationId: string;
  readonly index: number;
  readonly history: RandomHistory;
  readonly was: Snapshot;
  readonly target: InstanceOrder['target'];
  readonly policy: string;
  readonly random: () => number;
}

async function replaced({
  lab,
  operationId,
  index,
  history,
  was,
  target,
  policy,
  random,
}: Case): Promise<readonly string[]> {
  const strategy = STRATEGIES[index % STRATEGIES.length] ?? 'replace';
  return withClient(lab.connection, 'mairie', async (client) => {
    const now = await snapshot(client, history, SCHEMA);
    const scope = scopeFrom([...was, ...now], history, random);
    const order: RepairOrder = {
      ...{ database: 'mairie', table: { schema: SCHEMA, table: history.name }, strategy },
      source: { kind: 'state', at: target, policy },
      ...(scope === null ? {} : { scope: [scope] }),
    };
    await lab.collect(operationId, order);
    const own = `${operationId}-${strategy}-${index}`;
    const plan = await lab.plan(own, order, operationId);
    const conflicts = await lab.conflicts(plan);
    await lab.carryOut(own, plan);
    const real = await snapshot(client, history, SCHEMA);
    const listed = new Set(conflicts.map(({ good, bad }) => idOf(history, good ?? bad ?? [])));
    const wanted = wantedRows({ history, was, now, strategy, isIn: isInScope(scope, history), listed });
    const about = `${strategy}${scope === null ? '' : ` where ${JSON.stringify(scope)}`}`;
    const problems = [
      ...(same(sorted(real), sorted(wanted))
        ? []
        : [
            `${about}: ${JSON.stringify(real)} and not ${JSON.stringify(wanted)}, of ${JSON.stringify(was)} then and ${JSON.stringify(now)} now`,
          ]),
      // Of what stood against another row, in another text of the same key, something stays.
      ...(conflicts.length > 0 && strategy === 'replace' ? [`${about}: conflicts ${JSON.stringify(conflicts)}`] : []),
    ];
    if (strategy === 'replace') {
      const comparison = {
        ...{ database: 'mairie', table: order.table, good: target, samples: 10 },
        ...(scope === null ? {} : { scope: [scope] }),
      };
      const { missing, changed, extra } = await lab.run<TableComparison>('compareTable', operationId, {
        ...{ instance: 'good', order: comparison },
      });
      if (missing + changed + extra > 0)
        problems.push(`${about}: compared, ${missing} are missing, ${changed} changed, ${extra} extra`);
    }
    return [...problems, ...(await takenBack(lab, own, order, { client, history, now }))];
  });
}

/** Some values of the first column, half of the time. */
function scopeFrom(rows: Snapshot, { table }: RandomHistory, random: () => number): ScopeTerm | null {
  const [first] = table.columns;
  if (first === undefined || rows.length === 0 || random() < 0.5) return null;
  const any = (): string | null => rows[Math.floor(random() * rows.length)]?.[0] ?? null;
  return { column: first.name, in: [...new Set([any(), any()])] };
}

function isInScope(scope: ScopeTerm | null, history: RandomHistory): (row: Snapshot[number]) => boolean {
  if (scope === null || !('in' in scope)) return () => true;
  const isNumber = history.table.columns[0]?.type === 'numeric';
  const text = (value: string | null): string | null => (isNumber && value !== null ? String(Number(value)) : value);
  const listed = new Set(scope.in.map(text));
  return (row) => listed.has(text(row[0] ?? null));
}

interface Wanted {
  readonly history: RandomHistory;
  readonly was: Snapshot;
  readonly now: Snapshot;
  readonly strategy: RepairOrder['strategy'];
  readonly isIn: (row: Snapshot[number]) => boolean;
  readonly listed: ReadonlySet<string>;
}

/** Of a table without a key, the whole row. */
const idOf = (history: RandomHistory, row: Snapshot[number]): string =>
  history.table.keyed > 0 ? keyOf(history, row) : JSON.stringify(row);

function wantedRows({ history, was, now, strategy, isIn, listed }: Wanted): Snapshot {
  const isKeyed = history.table.keyed > 0;
  const rows = new Map<string, { was: Snapshot[number][]; now: Snapshot[number][] }>();
  for (const [name, all] of [
    ['was', was],
    ['now', now],
  ] as const)
    for (const row of all) {
      const known = rows.get(idOf(history, row)) ?? { was: [], now: [] };
      known[name].push(row);
      rows.set(idOf(history, row), known);
    }
  const wanted = [...rows.entries()].flatMap(([id, one]) => {
    if (![...one.was, ...one.now].some(isIn) || listed.has(id)) return one.now;
    if (!isKeyed) {
      const count = countFor(strategy, one.was.length, one.now.length);
      return new Array<Snapshot[number]>(count).fill((one.was[0] ?? one.now[0]) as Snapshot[number]);
    }
    switch (strategy) {
      case 'replace':
        return one.was;
      case 'upsert':
        return one.was.length > 0 ? one.was : one.now;
      case 'insert-missing':
        return one.now.length > 0 ? one.now : one.was;
      default:
        return one.was.length > 0 ? one.now : [];
    }
  });
  return wanted;
}

function countFor(strategy: RepairOrder['strategy'], was: number, now: number): number {
  if (strategy === 'replace') return was;
  return strategy === 'delete-extra' ? Math.min(was, now) : Math.max(was, now);
}

const sorted = (rows: Snapshot): readonly string[] => rows.map((row) => JSON.stringify(row)).toSorted();
