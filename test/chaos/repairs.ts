/** Repairs of a table whose worker, server, disk or Temporal are lost: a site whose table is damaged and put right, again and again. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from '@jest/globals';
import { signOff } from '../../src/client/decide.js';
import { type StartedOperation, startRepair } from '../../src/client/start.js';
import type { RepairOrder } from '../../src/domain/operation/orders.js';
import { queryNames } from '../../src/domain/operation/names.js';
import type { RepairPlan } from '../../src/domain/table/repair.js';
import type { RepairOutput } from '../../src/workflows/api.js';
import { Site } from '../helpers/site.js';
import type { SiteOptions } from '../helpers/site.js';
import { Keeper } from './keeper.js';
import { differing, type Facts, missed, productionOf, recordsOf, requireNothingLeft, requireSame } from './leavings.js';

const table = { schema: 'metier', table: 'demandes_rdv' };
const NAME = 'metier.demandes_rdv';
/** Several batches of what is damaged. */
const BATCH_ROWS = 400;

/** From which backup a table is put right: the rows of one transaction by its WAL, or all rows by a dump, in batches. */
export type RepairedFrom = 'physical' | 'dump';

/** Rows of the table as text, by their ids. */
export type Rows = ReadonlyMap<string, string>;

/** A table that a transaction has damaged. */
export interface Damage {
  readonly from: RepairedFrom;
  readonly order: RepairOrder;
  /** Before the repair, and after it. */
  readonly before: Rows;
  readonly after: Rows;
}

/** Something that happens while a repair runs; `over`: it has ended. */
export type DuringRepair = (work: StartedOperation, keeper: Keeper, over: AbortSignal) => Promise<void>;

/** A step that waits for a person. */
export type Paused = (work: StartedOperation, why: string) => Promise<void>;

/** How a repair is met, and what it has to come to all the same. */
export interface MetRepair {
  /** As `REPRISE_CRASH_AT` takes it; each once. */
  readonly crashAt?: readonly string[];
  readonly during?: DuringRepair;
  readonly paused?: Paused;
  /** How a repair before it was ended: one that finds nothing to do takes no lock from that. */
  readonly after?: 'terminated' | 'cancelled';
}

export class RepairSite {
  private keepers = 0;
  private hooksBefore = '';

  private constructor(
    readonly site: Site,
    private readonly dumpId: string,
    private readonly dumped: Rows,
  ) {}

  static async create(options: SiteOptions = {}): Promise<RepairSite> {
    const site = await Site.create(options);
    const hook = (name: string, more = ''): string =>
      `      ${name}: { argv: [sh, -c, "echo ${name} >> ${site.root}/hooks"]${more} }\n`;
    await site.configure({
      ...options,
      clusterYaml: `    hooks:\n${hook('stop-batches', ', undo: start-batches')}${hook('start-batches')}    tables:
      ${NAME}: { database: mairie, freeze: { by: trigger }, hooks: [stop-batches] }\n`,
    });
    const worker = await site.startWorker();
    await site.backUp('physical', 'full');
    const { backups } = await site.backUp('dump');
    await worker.stop();
    return new RepairSite(site, backups[0]?.id ?? '', await rowsOf(site));
  }

  /** A transaction deletes, changes and makes rows, and citizens go on booking. */
  async damage(from: RepairedFrom): Promise<Damage> {
    const { site } = this;
    const good = await rowsOf(site);
    const { rows } = await site.query(
      `WITH gone AS (DELETE FROM ${NAME} WHERE id % 2 = 0 RETURNING id),
            changed AS (UPDATE ${NAME} SET motif = 'WRONG' WHERE id % 7 = 1 AND id % 2 = 1 RETURNING id),
            made AS (INSERT INTO ${NAME} (commune, pris_le, motif) VALUES ('00001', now(), 'phantom') RETURNING id)
       SELECT pg_current_xact_id()::text AS xid, (SELECT count(*) FROM gone), (SELECT count(*) FROM changed), (SELECT count(*) FROM made)`,
    );
    const { xid } = rows[0] as { xid: string };
    const bad = await rowsOf(site);
    await site.commit(5);
    await site.closeSegment();
    const before = await rowsOf(site);
    const booked = [...before].filter(([id]) => !bad.has(id));
    const named = { database: 'mairie', table };
    if (from === 'physical') {
      const order: RepairOrder = { ...named, source: { kind: 'transaction', xid }, strategy: 'undo' };
      return { from, order, before, after: new Map([...good, ...booked]) };
    }
    const source = { kind: 'state' as const, at: { kind: 'backup' as const, id: this.dumpId }, policy: 'dump' };
    const order: RepairOrder = { ...named, source, strategy: 'replace', batchRows: BATCH_ROWS };
    return { from, order, before, after: this.dumped };
  }

  /** Label of the physical backup. */
  async newestLabel(): Promise<string> {
    const { backups } = await recordsOf(this.site);
    return backups.findLast(({ policy }) => policy === 'physical')?.label ?? '';
  }

  start(order: RepairOrder): Promise<StartedOperation> {
    const { session, cluster } = this.site;
    return startRepair(session, { cluster, requester: 'test', order });
  }

  rows(): Promise<Rows> {
    return rowsOf(this.site);
  }

  /** What a repair of the one table must leave as it was. */
  async production(): Promise<Facts> {
    const { content, ...others } = await productionOf(this.site);
    const rest = Object.entries(content as object).filter(([what]) => !what.includes('demandes_rdv'));
    return { ...others, content: rest };
  }

  /**
   * Approves and signs off whatever is asked for, over deaths of workers, until the repair has ended.
   * @param paused is told why a step waits for a person, and makes it go on; absent: no step may wait for one
   */
  async attend(work: StartedOperation, over: AbortSignal, paused?: Paused): Promise<void> {
    const { site } = this;
    while (!over.aborted && !site.isRemoved) {
      const status = await site.status(work).catch(() => null);
      if (status?.state === 'paused') {
        if (paused === undefined) throw new Error(`${work.workflowId} waits for a person: ${status.waitingFor}`);
        await paused(work, status.waitingFor ?? '');
      }
      if (status?.state === 'waiting-approval') await site.approve(work).catch(() => undefined);
      if (status?.state === 'waiting-sign-off')
        await signOff(site.session, work.workflowId, { verdict: 'pass', by: 'dba', remarks: 'looked at' }).catch(
          () => undefined,
        );
      await sleep(200);
    }
  }

  /** One damage that is put right in spite of everything: the table is as approved, and nothing is left. Returns the deaths of workers. */
  async passes(damage: Damage, { crashAt = [], during, paused, after }: MetRepair = {}): Promise<number> {
    const before = await this.production();
    return this.withKeeper(crashAt, async (keeper) => {
      const work = await this.start(damage.order);
      const over = new AbortController();
      const ended = this.site.result<RepairOutput>(work).finally(() => over.abort());
      const [output] = await Promise.all([
        ended,
        this.attend(work, over.signal, paused),
        during?.(work, keeper, over.signal),
      ]).finally(() => over.abort());
      expect(output).toMatchObject({ state: 'completed' });
      const failed = output.outcome?.checks.filter(({ status }) => status === 'failed') ?? [];
      expect(failed).toEqual([]);
      expect(await missed(work, keeper.missing())).toEqual([]);
      await this.requireRows(damage.after);
      await this.requireNothingLeft(before, after);
      await this.requireJournal(work);
      return keeper.deaths;
    });
  }

  /**
   * Runs a repair until its worker dies at a point, and nobody starts another one. Null: the repair has ended without coming there, as it
   * has no use for that step.
   */
  async untilLeft({ order }: Damage, point: string): Promise<StartedOperation | null> {
    const { site } = this;
    const work = await this.start(order);
    const worker = await site.startWorker({ REPRISE_CRASH_AT: point });
    const over = new AbortController();
    const person = this.attend(work, over.signal);
    const ended = site
      .result<RepairOutput>(work)
      .then(() => 'ended' as const)
      .catch(() => 'failed' as const);
    try {
      const how = await Promise.race([worker.exited(), ended, person.then(() => 'nobody')]);
      if (how === 'ended') return null;
      expect(how).toBe('SIGKILL');
      return work;
    } finally {
      over.abort();
      await worker.kill();
      await person.catch(() => undefined);
    }
  }

  withKeeper<T>(crashAt: readonly string[], fn: (keeper: Keeper) => Promise<T>): Promise<T> {
    return Keeper.during(this.site, `repair-${this.keepers++}`, crashAt, fn);
  }

  async requireRows(...allowed: readonly Rows[]): Promise<void> {
    const now = await this.rows();
    const differences = allowed.map((rows) => differing(now, rows));
    if (!differences.some((found) => found.length === 0)) expect(differences).toEqual(allowed.map(() => []));
  }

  /** No process, file, role, trigger, schema, instance, block, pin, plan or claim; hooks were taken back. Waits for what a sweep does. */
  async requireNothingLeft(before: Facts, how?: 'terminated' | 'cancelled'): Promise<void> {
    const { site } = this;
    await requireSame(() => this.production(), before);
    await requireNothingLeft(site, how);
    const ran = await readFile(join(site.root, 'hooks'), 'utf8').catch(() => '');
    const since = ran.slice(this.hooksBefore.length);
    this.hooksBefore = ran;
    // A hook whose worker died may run again; what takes it back runs once, also where a sweep does it.
    expect(since).toMatch(/^((stop-batches\n)+start-batches\n)*$/);
    expect(await this.isOpen()).toBe(true);
  }

  /** The journal says when writes were blocked and opened, and what a person reads of the operation can be asked for. */
  async requireJournal({ operationId, workflowId }: StartedOperation): Promise<void> {
    const lines = (await recordsOf(this.site)).journalOf(operationId).filter(({ step }) => step === 'freeze');
    const told = lines.map(({ text }) => (text.endsWith('are blocked') ? 'blocked' : 'open'));
    // Killed between the block and its line, only the opening is told.
    expect(told.join(' ')).toMatch(/^(blocked )?open$|^$/);
    expect((await this.site.cli('status', workflowId, '--json')).code).toBe(0);
  }

  /** Whether a citizen can book. */
  isOpen(): Promise<boolean> {
    return this.site
      .query(`BEGIN; INSERT INTO ${NAME} (commune, pris_le, motif) VALUES ('00001', now(), 'x'); ROLLBACK`)
      .then(() => true)
      .catch(() => false);
  }

  /** The plan that waits for its approval, or was approved. */
  planOf(work: StartedOperation): Promise<RepairPlan> {
    return this.site.waitFor(() => work.handle.query<RepairPlan | null>(queryNames.plan), 'there is a plan');
  }
}

async function rowsOf(site: Site): Promise<Rows> {
  const { rows } = await site.query(`SELECT id::text, t::text AS row FROM ${NAME} t ORDER BY id`);
  return new Map((rows as { id: string; row: string }[]).map(({ id, row }) => [id, row]));
}

/** Runs `fn` on a site with a table to repair and clears it away, whatever happens. */
export async function onRepairSite<T>(fn: (on: RepairSite) => Promise<T>, options: SiteOptions = {}): Promise<T> {
  const on = await RepairSite.create(options);
  try {
    return await fn(on);
  } finally {
    await on.site.remove();
  }
}
