import pg from 'pg';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RepairOrder } from '../../src/domain/operation/orders.js';
import { isRepriseError } from '../../src/domain/errors.js';
import { seeded } from '../chaos/random.js';
import type { RepairLab } from './repair-lab.js';
import { type Beside, OWNER } from './undo-suite.js';

const TABLE = { schema: 'metier', table: 'written' };
const [ROWS, WRITERS] = [400, 4];

/** What a writer was told last of a row: its number; null: it is gone; after how many commits. */
interface Acknowledged {
  readonly n: number | null;
  readonly at: number;
}

/** Sessions that go on writing, each rows of its own, and what the server has acknowledged. */
class Writers {
  readonly acknowledged = new Map<number, Acknowledged>();
  commits = 0;
  private ended = false;
  private readonly running: Promise<void>[];

  constructor(
    private readonly lab: RepairLab,
    seed: number,
    /** Ids of rows that are made begin after it. */
    private readonly after: number,
  ) {
    this.running = Array.from({ length: WRITERS }, (_, at) => this.write(at, seeded(seed * WRITERS + at)));
  }

  /** @throws what a writer met */
  async end(): Promise<void> {
    this.ended = true;
    await Promise.all(this.running);
  }

  private async write(own: number, random: () => number): Promise<void> {
    const { host, port, user } = this.lab.connection;
    const client = new pg.Client({ host, port, user, database: 'mairie' });
    await client.connect();
    let next = this.after + 1 + own;
    try {
      while (!this.ended) {
        const id = Math.floor((random() * ROWS) / WRITERS) * WRITERS + own + 1;
        const what = random();
        if (what < 0.1) {
          await this.commit(client, next, `INSERT INTO metier.written VALUES (${next}, 1, 'new') RETURNING n`);
          next += WRITERS;
        } else if (what < 0.15 && id % 7 === 0) {
          // Such rows the bad transaction leaves alone.
          await this.commit(client, id, `DELETE FROM metier.written WHERE id = ${id} RETURNING NULL::int AS n`);
        } else await this.commit(client, id, `UPDATE metier.written SET n = n + 1 WHERE id = ${id} RETURNING n`);
        await sleep(10);
      }
    } finally {
      await client.end();
    }
  }

  private async commit(client: pg.Client, id: number, sql: string): Promise<void> {
    await client.query('BEGIN');
    const { rows } = await client.query<{ n: number | null }>(sql);
    await client.query('COMMIT');
    const [row] = rows;
    if (row === undefined) return;
    this.commits++;
    this.acknowledged.set(id, { n: row.n, at: this.commits });
  }
}

/** People go on writing while a bad transaction is undone, and while the table is put back to a state. */
export class WritersRound implements Beside {
  private writers: Writers | null = null;

  constructor(
    private readonly lab: RepairLab,
    private readonly seed: number,
  ) {}

  async before(): Promise<void> {
    await this.lab.site.query(
      `DROP TABLE IF EXISTS metier.written; CREATE TABLE metier.written (id int PRIMARY KEY, n int, note text) WITH (fillfactor = 50);
       ALTER TABLE metier.written OWNER TO ${OWNER}; GRANT USAGE ON SCHEMA metier TO ${OWNER};
       INSERT INTO metier.written SELECT i, i, repeat('x', i % 50) FROM generate_series(1, ${ROWS}) i`,
    );
    const writers = new Writers(this.lab, this.seed, ROWS);
    this.writers = writers;
    await this.lab.site.waitFor(async () => writers.commits > 20, 'people write');
  }

  /** Changes, deletes and makes rows; with a row that somebody has just locked it waits as others do. */
  async bad(client: pg.Client): Promise<void> {
    await client.query(
      `UPDATE metier.written SET n = -n, note = 'bad' WHERE id % 3 = 0 AND id % 7 <> 0;
       DELETE FROM metier.written WHERE id % 3 = 1 AND id % 7 <> 0;
       INSERT INTO metier.written SELECT 1000000 + i, 0, 'phantom' FROM generate_series(1, 20) i`,
    );
  }

  async after(operationId: string, xid: string): Promise<readonly string[]> {
    const { lab, seed, writers } = this;
    if (writers === null) throw new Error('nobody writes');
    try {
      const source = { kind: 'transaction' as const, xid, policy: 'physical' };
      const undo: RepairOrder = { ...{ database: 'mairie', table: TABLE, strategy: 'undo' }, source };
      await lab.collect(operationId, undo);
      await undoneAtLast(lab, operationId, undo);
      await writers.end();
      const problems = await different(lab, asTold(writers), 'undone');
      const state = { kind: 'state' as const, at: { kind: 'before-xid' as const, xid }, policy: 'physical' };
      return [...problems, ...(await putBack(lab, seed, operationId, { ...undo, source: state }))];
    } finally {
      await this.end();
    }
  }

  /** Nobody writes any more; again, it does nothing. */
  async end(): Promise<void> {
    await this.writers?.end();
  }
}

/** Every row as its writer was told last, or as it was made. */
function asTold({ acknowledged }: Writers): ReadonlyMap<number, number | null> {
  const rows = new Map<number, number | null>(Array.from({ length: ROWS }, (_, at) => [at + 1, at + 1] as const));
  for (const [id, { n }] of acknowledged) rows.set(id, n);
  return rows;
}

/** A row that changes between plan and repair has another plan made; batches leave such rows out. */
async function undoneAtLast(lab: RepairLab, operationId: string, order: RepairOrder): Promise<void> {
  for (let attempt = 0; attempt < 3; attempt++) {
    const own = `${operationId}-written-${attempt}`;
    try {
      await lab.carryOut(own, await lab.plan(own, order, operationId));
      return;
    } catch (error) {
      if (!isRepriseError(error) || error.code !== 'conflict') throw error;
    }
  }
  await lab.carryOut(
    `${operationId}-written-batches`,
    await lab.plan(`${operationId}-written-batches`, { ...order, batchRows: 100 }, operationId),
  );
}

/** Later changes are lost in a table that is put back to a state, but none that came after the plan. */
async function putBack(
  lab: RepairLab,
  seed: number,
  operationId: string,
  undo: RepairOrder,
): Promise<readonly string[]> {
  const order: RepairOrder = { ...undo, strategy: 'replace', batchRows: 100 };
  const writers = new Writers(lab, seed + 1000, 500_000);
  try {
    await lab.site.waitFor(async () => writers.commits > 20, 'people write');
    await lab.collect(operationId, order);
    const plan = await lab.plan(`${operationId}-written-back`, order, operationId);
    const planned = writers.commits;
    await lab.site.waitFor(async () => writers.commits > planned + 20, 'people write');
    await lab.carryOut(`${operationId}-written-back`, plan);
    await writers.end();
    const later = [...writers.acknowledged].filter(([, { at }]) => at > planned);
    return await different(lab, new Map(later.map(([id, { n }]) => [id, n])), 'put back', false);
  } finally {
    await writers.end();
  }
}

/** Rows that are not as they must be; `isAll`: there are no others. */
async function different(
  lab: RepairLab,
  expected: ReadonlyMap<number, number | null>,
  when: string,
  isAll = true,
): Promise<readonly string[]> {
  const { rows } = await lab.site.query('SELECT id, n FROM metier.written');
  const there = new Map((rows as { id: number; n: number }[]).map(({ id, n }) => [id, n]));
  const ids = isAll ? new Set([...expected.keys(), ...there.keys()]) : expected.keys();
  return [...ids].flatMap((id) => {
    const [real = null, wanted = null] = [there.get(id), expected.get(id)];
    return real === wanted ? [] : [`${when}: row ${id} is ${real} and not ${wanted}`];
  });
}
