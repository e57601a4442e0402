import pg from 'pg';
import { finished } from 'node:stream/promises';
import { from as copyFrom } from 'pg-copy-streams';
import type { InstanceOrder, RepairOrder } from '../../src/domain/operation/orders.js';
import type { RowText } from '../../src/domain/table/repair.js';
import { withClient } from '../../src/postgres/connection/with-client.js';
import { SAME_TEXT } from '../../src/postgres/content/row-hash.js';
import { seeded } from '../chaos/random.js';
import {
  randomHistories,
  type RandomHistory,
  type RandomStatement,
  type RandomTransaction,
} from './random-histories.js';
import { RANDOM_TYPES } from './random-tables.js';
import type { RepairLab } from './repair-lab.js';

/** The history as it was, and the same without the bad transaction. */
const [REAL, REPLAY] = ['re"al', 'replay'] as const;
export const OWNER = 'clerk';
/** Rows that others hold are not waited for: that statement never came to be. */
const LOCK_TIMEOUT = '40ms';

/** Rows in the text of each column, sorted. */
export type Snapshot = readonly RowText[];

/** What the states of a table were, in the order in which they were. */
interface Played {
  readonly xid: string;
  /** Just before the bad transaction ended, and just after it. */
  readonly good: readonly Snapshot[];
  readonly bad: readonly Snapshot[];
}

/** What random tables need in the database, and in its server, which is started anew. */
export async function prepareRandomTables({ site }: RepairLab): Promise<void> {
  await site.query('ALTER SYSTEM SET max_prepared_transactions = 5');
  await site.loseInstance('killed');
  await site.startServer();
  await site.query(
    `${RANDOM_TYPES}; CREATE ROLE ${OWNER} LOGIN; GRANT USAGE ON SCHEMA odd TO ${OWNER}; GRANT CREATE ON DATABASE mairie TO ${OWNER}`,
  );
}

/** What shares the bad transaction and the temporary instances of a round, in tables of its own. */
export interface Beside {
  /** Before the transaction. */
  before(): Promise<void>;
  /** In the session of the transaction. */
  bad?(client: pg.Client): Promise<void>;
  /** With the instances `good`, before the transaction, and `bad`, after it. */
  after(operationId: string, xid: string): Promise<readonly string[]>;
}

/**
 * Plays random histories in many tables at once, with one bad transaction for all of them; undoes it in each; takes that back.
 * @returns what is not as it must be, a line each; nothing where all is well
 */
export async function undoRound(
  lab: RepairLab,
  seed: number,
  count: number,
  beside: readonly Beside[] = [],
): Promise<readonly string[]> {
  const histories = randomHistories(seed, count);
  await emptySchemas(lab, [REAL, REPLAY]);
  for (const one of beside) await one.before();
  const { xid, good, bad } = await new Play(lab, histories, seeded(seed), beside).run();
  await lab.archived();
  const operationId = `undo-${seed}`;
  const target = (kind: 'before-xid' | 'xid'): InstanceOrder['target'] => ({ kind, xid });
  const problems: string[] = [];
  const orderOf = ({ name }: RandomHistory): RepairOrder => ({
    database: 'mairie',
    table: { schema: REAL, table: name },
    source: { kind: 'transaction', xid, policy: 'physical' },
    strategy: 'undo',
  });
  await lab.withInstances(operationId, { good: target('before-xid'), bad: target('xid') }, async () => {
    for (const [index, history] of histories.entries()) {
      const order = orderOf(history);
      if (index === 0) await lab.run('findTransaction', operationId, { order });
      const states = { good: good[index] ?? [], bad: bad[index] ?? [] };
      const found = await undone(lab, { operationId, index, history, order, ...states }).catch((error: unknown) => [
        String((error as Error).stack ?? error),
      ]);
      problems.push(...found.map((line) => `REPRISE_CHAOS_SEED=${seed}, table ${history.name}: ${line}`));
    }
    for (const one of beside) problems.push(...(await one.after(operationId, xid)));
  });
  return problems;
}

export async function emptySchemas(lab: RepairLab, schemas: readonly string[]): Promise<void> {
  for (const name of schemas.map((one) => pg.escapeIdentifier(one)))
    await lab.site.query(`DROP SCHEMA IF EXISTS ${name} CASCADE; SET ROLE ${OWNER}; CREATE SCHEMA ${name}`);
}

/** The history of all tables, in a few sessions whose transactions overlap. */
class Play {
  constructor(
    private readonly lab: RepairLab,
    private readonly histories: readonly RandomHistory[],
    private readonly random: () => number,
    private readonly beside: readonly Beside[],
  ) {}

  async run(): Promise<Played> {
    const session = <T>(fn: (client: pg.Client) => Promise<T>): Promise<T> =>
      withClient(this.lab.connection, 'mairie', async (client) => {
        await client.query(`SET ROLE ${OWNER}; SET lock_timeout = '${LOCK_TIMEOUT}'`);
        return fn(client);
      });
    return session((badly) => session((others) => session((slow) => this.play(badly, others, slow))));
  }

  private async play(badly: pg.Client, others: pg.Client, slow: pg.Client): Promise<Played> {
    const { histories } = this;
    for (const history of histories) {
      for (const schema of [REAL, REPLAY]) await others.query(of(history, schema, history.make.join('; ')));
      await this.upkeep(history);
      for (const transaction of history.before) await this.legitimate(others, history, transaction);
    }
    await slow.query('BEGIN');
    for (const history of histories) for (const one of history.across) await this.both(slow, history, one.statements);
    const start = await this.snapshots(others);
    await badly.query('BEGIN');
    const steps = Math.max(...histories.map(({ bad }) => bad.length));
    for (let step = 0; step < steps; step++)
      for (const history of histories) {
        const statement = history.bad[step];
        if (statement !== undefined)
          await run(badly, history, REAL, statement, 'one', statement.rolledBack ? 'ROLLBACK TO one' : 'RELEASE one');
        const other = history.during[step];
        if (other !== undefined) await this.legitimate(others, history, other);
        if (this.random() < 0.1) await this.upkeep(history);
      }
    await badly.query("SET LOCAL lock_timeout = '60s'");
    for (const one of this.beside) await one.bad?.(badly);
    const { rows } = await badly.query<{ xid: string }>('SELECT pg_current_xact_id()::text AS xid');
    const isPrepared = this.random() < 0.5;
    if (isPrepared) await badly.query("PREPARE TRANSACTION 'it''s bad'");
    const good: Snapshot[] = [];
    // What is locked nobody else reads until the end.
    for (const [index, history] of histories.entries())
      good.push(history.held ? (start[index] ?? []) : await snapshot(others, history, REAL));
    if (isPrepared) await others.query("COMMIT PREPARED 'it''s bad'");
    else await badly.query('COMMIT');
    const bad = await this.snapshots(others);
    await slow.query('COMMIT');
    for (const history of histories) {
      await this.upkeep(history);
      for (const transaction of history.after) await this.legitimate(others, history, transaction);
    }
    return { xid: rows[0]?.xid ?? '', good, bad };
  }

  private async legitimate(client: pg.Client, history: RandomHistory, { statements, rolledBack }: RandomTransaction) {
    await client.query('BEGIN');
    await this.both(client, history, statements);
    await client.query(rolledBack ? 'ROLLBACK' : 'COMMIT');
  }

  /** What the real table takes happens in the other one too, where it touched a row: WAL shows no rows that were looked for in vain. */
  private async both(client: pg.Client, history: RandomHistory, statements: readonly RandomStatement[]): Promise<void> {
    for (const statement of statements) {
      const { sql, rolledBack } = statement;
      const end = rolledBack ? 'ROLLBACK TO one; RELEASE one' : 'RELEASE one';
      const done = await run(client, history, REAL, statement, 'one', '');
      if (done === null) continue;
      const again = /^INSERT(?!.* ON CONFLICT)/s.test(sql) ? `${sql} ON CONFLICT DO NOTHING` : sql;
      if (done > 0) await run(client, history, REPLAY, { ...statement, sql: again }, 'two', 'RELEASE two');
      await client.query(end);
    }
  }

  /** Somebody holds the table: then not. */
  private async upkeep(history: RandomHistory): Promise<void> {
    const chosen = history.upkeep[Math.floor(this.random() * (history.upkeep.length + 1))];
    if (chosen === undefined) return;
    await withClient(this.lab.connection, 'mairie', async (client) => {
      await client.query(`SET lock_timeout = '${LOCK_TIMEOUT}'`);
      await client.query(of(history, REAL, chosen)).catch(() => undefined);
    });
  }

  private async snapshots(client: pg.Client): Promise<readonly Snapshot[]> {
    const all: Snapshot[] = [];
    for (const history of this.histories) all.push(await snapshot(client, history, REAL));
    return all;
  }
}

interface Case {
  readonly operationId: string;
  readonly index: number;
  readonly history: RandomHistory;
  readonly order: RepairOrder;
  readonly good: Snapshot;
  readonly bad: Snapshot;
}

/** Plans, carries out, looks, takes back, and looks again. */
async function undone(lab: RepairLab, one: Case): Promise<readonly string[]> {
  const { operationId, index, history, order, good, bad } = one;
  return withClient(lab.connection, 'mairie', async (client) => {
    const own = `${operationId}-${index}`;
    const now = await snapshot(client, history, REAL);
    await lab.collect(operationId, order);
    const plan = await lab.plan(own, order, operationId);
    const conflicts = (await lab.conflicts(plan)).map((conflict) => conflict.good ?? conflict.bad ?? []);
    await lab.carryOut(own, plan);
    const real = await snapshot(client, history, REAL);
    const replay = await snapshot(client, history, REPLAY);
    const problems =
      history.table.keyed === 0
        ? multisetProblems({ good, bad, now, real, conflicts })
        : keyedProblems(history, {
            good,
            bad,
            now,
            real,
            replay,
            conflicts: conflicts.map((row) => keyOf(history, row)),
          });
    return [...problems, ...(await takenBack(lab, own, order, { client, history, now }))];
  });
}

/** Nothing else has changed: the table becomes what it was before the repair. */
export async function takenBack(
  lab: RepairLab,
  operationId: string,
  order: RepairOrder,
  { client, history, now }: { client: pg.Client; history: RandomHistory; now: Snapshot },
): Promise<readonly string[]> {
  const { database, table } = order;
  const plan = await lab.plan(`${operationId}-back`, {
    database,
    table,
    source: { kind: 'repair', operationId },
    strategy: 'undo',
  });
  await lab.carryOut(`${operationId}-back`, plan);
  const back = await snapshot(client, history, table.schema);
  return same(back, now) ? [] : [`taken back it is ${JSON.stringify(back)} and not ${JSON.stringify(now)}`];
}

export const same = (one: unknown, other: unknown): boolean => JSON.stringify(one) === JSON.stringify(other);

/** Of a table without a key: now, without what the damage brought, and with what it took. */
function multisetProblems(states: Record<'good' | 'bad' | 'now' | 'real' | 'conflicts', Snapshot>): readonly string[] {
  const counts = new Map<string, { good: number; bad: number; now: number; real: number; conflicts: number }>();
  for (const [name, rows] of Object.entries(states) as [keyof typeof states, Snapshot][])
    for (const row of rows) {
      const known = counts.get(JSON.stringify(row)) ?? { good: 0, bad: 0, now: 0, real: 0, conflicts: 0 };
      known[name]++;
      counts.set(JSON.stringify(row), known);
    }
  const all = [...counts.entries()];
  // One that is to go is not there: nobody knows which of those that are to come back it was.
  const isChanged = all.some(([, { good, bad, now }]) => now < bad - good);
  return all.flatMap(([row, { good, bad, now, real, conflicts }]) => {
    const [back, away] = [Math.max(0, good - bad), Math.max(0, bad - good)];
    const wanted = isChanged
      ? { real: now - Math.min(now, away), conflicts: back + Math.max(0, away - now) }
      : { real: now + back - away, conflicts: 0 };
    return same({ real, conflicts }, wanted)
      ? []
      : [`${JSON.stringify({ real, conflicts })} and not ${JSON.stringify(wanted)} times ${row}`];
  });
}

type KeyedStates = Record<'good' | 'bad' | 'now' | 'real' | 'replay', Snapshot> & {
  readonly conflicts: readonly string[];
};

function keyedProblems(history: RandomHistory, { conflicts, ...states }: KeyedStates): readonly string[] {
  const rows = Object.fromEntries(
    Object.entries(states).map(([name, all]) => [
      name,
      new Map(all.map((row) => [keyOf(history, row), JSON.stringify(row)])),
    ]),
  ) as unknown as Record<keyof typeof states, ReadonlyMap<string, string>>;
  const listed = new Set(conflicts);
  const keys = new Set(Object.values(rows).flatMap((one) => [...one.keys()]));
  return [...keys].flatMap((key) => {
    const [good, bad, now] = [rows.good.get(key), rows.bad.get(key), rows.now.get(key)];
    const isUndecidable = good !== bad && now !== bad && now !== good;
    const wanted = isUndecidable ? now : rows.replay.get(key);
    const real = rows.real.get(key);
    return [
      ...(listed.has(key) === isUndecidable
        ? []
        : [`${key} is ${isUndecidable ? 'no conflict' : 'a conflict'}: ${good} -> ${bad} -> ${now}, then ${real}`]),
      ...(real === wanted ? [] : [`${key} is ${real} and not ${wanted}: ${good} -> ${bad} -> ${now}`]),
    ];
  });
}

/** A statement in a savepoint, and what ends that; null where the server refuses it, else how many rows it touched. */
export async function run(
  client: pg.Client,
  history: RandomHistory,
  schema: string,
  { sql, copied }: RandomStatement,
  savepoint: string,
  end: string,
): Promise<number | null> {
  try {
    if (copied === undefined) {
      const results = await client.query(`SAVEPOINT ${savepoint}; ${of(history, schema, sql)}; ${end}`);
      return (results as unknown as pg.QueryResult[])[1]?.rowCount ?? 0;
    }
    await client.query(`SAVEPOINT ${savepoint}`);
    const lines = await copyLines(client, copied);
    const stream = client.query(copyFrom(of(history, schema, sql)));
    stream.end(`${lines.join('\n')}\n`);
    await finished(stream);
    await client.query(end);
    return copied.length;
  } catch {
    await client.query(`ROLLBACK TO ${savepoint}; RELEASE ${savepoint}`);
    return null;
  }
}

async function copyLines(
  client: pg.Client,
  copied: NonNullable<RandomStatement['copied']>,
): Promise<readonly string[]> {
  const lines: string[] = [];
  for (const row of copied) {
    const { rows } = await client.query<{ values: (string | null)[] }>(
      `SELECT ARRAY[${row.map(({ value, type }) => `(${value})::${type}::text`).join(', ')}] AS values`,
    );
    lines.push((rows[0]?.values ?? []).map(copyText).join('\t'));
  }
  return lines;
}

const ESCAPED: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' };
const copyText = (value: string | null): string =>
  value === null ? '\\N' : value.replaceAll(/[\\\n\r\t]/g, (one) => ESCAPED[one] ?? one);

export const of = ({ name }: RandomHistory, schema: string, sql: string): string =>
  sql
    .replaceAll('%t', () => `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(name)}`)
    .replaceAll('%s', () => pg.escapeIdentifier(schema));

/** Equal numbers are one key, whatever their text. */
export function keyOf({ table }: RandomHistory, row: RowText): string {
  return JSON.stringify(
    row
      .slice(0, table.keyed)
      .map((value, at) => (table.columns[at]?.type === 'numeric' && value !== null ? String(Number(value)) : value)),
  );
}

/** A table without its children, a partitioned one with its partitions. */
export async function snapshot(client: pg.Client, history: RandomHistory, schema: string): Promise<Snapshot> {
  const { columns, table } = history;
  const only = table.partitioned && table.keyed > 0 ? '' : 'ONLY ';
  await client.query(`BEGIN; ${SAME_TEXT}`);
  // By each type's own output; a cast to text may be another one (inet, bool).
  const list = columns
    .map((name) => pg.escapeIdentifier(name))
    .map((name) => `CASE WHEN ${name} IS NOT DISTINCT FROM NULL THEN NULL ELSE concat(${name}) END`)
    .join(', ');
  const { rows } = await client.query<{ row: (string | null)[] }>(
    of(history, schema, `SELECT ARRAY[${list}] AS row FROM ${only}%t ORDER BY ARRAY[${list}] COLLATE "C"`),
  );
  await client.query('COMMIT');
  return rows.map(({ row }) => row);
}
