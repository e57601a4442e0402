import type { CommitRange } from '../../activities/api.js';
import type { OpenedInstance } from '../../domain/explore/instance.js';
import { durationInWords } from '../../domain/text/text.js';
import {
  Bisection,
  conditionText,
  type LocateBackup,
  type LocatePlan,
  type LocateProbe,
  type LocateResult,
  type LocateStop,
  locateText,
  mostProbes,
  nextCommand,
  type TableCommit,
  type TableState,
} from '../../domain/table/locate.js';
import type { RecoveryTarget } from '../../domain/target/target.js';
import { formatLsn, parseLsn } from '../../domain/target/wal.js';
import type { LocateInput, LocateOutput } from '../api.js';
import { endWithoutInstance, moveTemporaryInstance, withTemporaryInstance } from '../explore/temporary-instance.js';
import { readActivities } from '../operation/activity-proxies.js';
import { type Operation, openOperation } from '../operation/open-operation.js';
import { runStep } from '../operation/run-step.js';

const LOOK = 'look at the table';
const RESTORE = 'restore the temporary instance';
/** Clocks of the server and of the host that recorded the backup differ, and times of commits are not quite in their order. */
const MARGIN_MS = 120_000;

/**
 * Finds the newest coherent state of a table: among the backups, each looked into in a temporary instance, then among the commits of
 * the WAL between two of them, in one that is moved forward. Changes nothing.
 */
export function locateTable(input: LocateInput): Promise<LocateOutput> {
  return openOperation('table-locate', input, async (operation) => {
    try {
      return await new Search(operation, input).run();
    } finally {
      await endWithoutInstance(operation);
    }
  });
}

/** What one replay found: a commit that broke it, with the state before; null: nothing broke in it. */
interface Replayed {
  readonly good: LocateProbe;
  readonly goodStop: LocateStop | null;
  readonly bad: LocateStop | null;
  /** No other commit is between them. */
  readonly isExact: boolean;
}

class Search {
  private plan: LocatePlan = { backups: [], walPolicy: null, now: null };
  private bisection = new Bisection([]);
  private readonly probes: LocateProbe[] = [];
  private readonly notes: string[] = [];
  private restores = 0;
  private replays = 0;
  private moves = 0;

  constructor(
    private readonly operation: Operation,
    private readonly input: LocateInput,
  ) {}

  async run(): Promise<LocateResult> {
    const { order } = this.input;
    const name = 'list the backups, and look at production';
    this.plan = await this.step(name, (summary) =>
      readActivities(this.operation.host, summary).planLocate(this.request),
    );
    const { backups, now } = this.plan;
    this.bisection = new Bisection(backups.map(({ recorded }) => recorded?.holds ?? null));
    if (now !== null) this.probes.push({ what: 'production', id: null, at: null, ...now });
    for (const { id, at, recorded } of backups)
      if (recorded !== null) this.probes.push({ what: 'record', id, at, ...recorded });
    this.noteBroken();
    if (now?.holds === true && order.to === undefined && this.bisection.broken === null)
      if (!backups.some(({ recorded }) => recorded?.holds === false)) return this.ended({ state: 'holds' });
    return this.search();
  }

  /** What a record says of a backup is seen to be so, or not, when the WAL after it is replayed: then the search goes on. */
  private async search(): Promise<LocateResult> {
    for (;;) {
      await this.amongBackups();
      const { good, bad } = this.bisection;
      const { backups, walPolicy } = this.plan;
      const from = backups[good];
      const until = backups[bad] ?? null;
      if (from === undefined) return this.ended({ state: 'no-good', bad: this.probeOf(until) });
      if (from.policy !== walPolicy || walPolicy === null) {
        if (until === null && this.plan.now?.holds !== false) return this.ended({ state: 'never' });
        return this.ended({ state: 'between', good: this.probeOf(from), bad: this.probeOf(until) ?? this.production });
      }
      const found = await this.inWal(from, until, walPolicy);
      if (found !== null) return found;
    }
  }

  /** Halves the backups until two neighbours are known. */
  private async amongBackups(): Promise<void> {
    for (let next = this.bisection.next; next !== null; next = this.bisection.next) {
      const backup = this.plan.backups[next] as LocateBackup;
      this.showProgress(`look into ${backup.id}, of ${backup.at}`);
      const state = await this.withInstance(`probe-${this.restores}`, targetOf(backup), backup.policy, (_, instance) =>
        this.look(instance),
      );
      this.probes.push({ what: 'backup', id: backup.id, at: backup.at, ...state });
      this.bisection.set(next, state.holds);
      this.noteBroken();
    }
  }

  /** Null: a record was wrong, and the search goes on with what was seen. */
  private async inWal(from: LocateBackup, until: LocateBackup | null, policy: string): Promise<LocateResult | null> {
    const { good: index, bad: after } = this.bisection;
    let at: RecoveryTarget = targetOf(from);
    let known: { readonly good: LocateProbe | null; readonly stop: LocateStop | null; readonly bad: LocateStop | null };
    known = { good: null, stop: null, bad: null };
    for (;;) {
      const { good: state, stop, bad } = known;
      const replayed: Replayed | null = await this.withInstance(`wal-${this.replays}`, at, policy, (opened, instance) =>
        this.replay({ opened, instance, policy, from, until, state, stop, bad }),
      );
      if (replayed === null) {
        this.bisection.set(index, false);
        return null;
      }
      if (replayed.bad === null) return this.nothingBroke(replayed, until, after);
      const { good } = replayed;
      const broken = replayed.bad;
      if (replayed.isExact)
        return this.ended({ state: 'transaction', good, bad: stateAfter(broken), transaction: commitOf(broken) });
      known = { good, stop: replayed.goodStop, bad: broken };
      if (replayed.goodStop !== null) at = { kind: 'xid', xid: replayed.goodStop.xid };
    }
  }

  /** All of the WAL up to the next backup is coherent. */
  private nothingBroke({ good }: Replayed, until: LocateBackup | null, after: number): LocateResult | null {
    const seen = until === null ? null : this.probes.find(({ what, id }) => what === 'backup' && id === until.id);
    if (until !== null && seen === undefined) {
      this.bisection.set(after, true);
      return null;
    }
    if (until === null && (this.plan.now?.holds !== false || this.input.order.to !== undefined))
      return this.ended({ state: 'never', good });
    this.notes.push(
      'no commit that touched the table broke it: what the condition reads besides the table did, or WAL that could not be read',
    );
    return this.ended({ state: 'between', good, bad: this.probeOf(until) ?? this.production });
  }

  /** One replay, forward only, stopped after commits that touched the table. Null: the backup itself is not coherent. */
  private async replay(given: {
    readonly opened: OpenedInstance;
    readonly instance: string;
    readonly policy: string;
    readonly from: LocateBackup;
    readonly until: LocateBackup | null;
    readonly state: LocateProbe | null;
    readonly stop: LocateStop | null;
    readonly bad: LocateStop | null;
  }): Promise<Replayed | null> {
    const { opened, instance, policy, from, until, stop, bad: end } = given;
    this.replays++;
    let good: LocateProbe;
    if (given.state === null) {
      const state = await this.look(instance);
      good = { what: 'backup', id: from.id, at: from.at, ...state };
      this.probes.push(good);
      if (!state.holds) return null;
    } else good = given.state;
    const range: CommitRange = {
      from: later(stop?.committedAt ?? from.startedAt, -MARGIN_MS),
      to: this.endOfRange(end?.committedAt ?? null, until),
      afterLsn: stop === null ? (opened.reached.lastLsn ?? '0/0') : nextPlace(stop.lsn),
      beforeLsn: end?.lsn ?? null,
    };
    const name = 'find the commits that touched the table';
    const { total, stops, notes } = await this.step(name, (summary) =>
      readActivities(this.operation.host, summary).findCommits({ ...this.request, instance, policy, range }),
    );
    this.notes.push(...notes.filter((note) => !this.notes.includes(note)));
    let goodStop = stop;
    let before = -1;
    for (const [count, one] of stops.entries()) {
      this.showProgress(`look at the table after commit ${count + 1} of at most ${stops.length} (${total} touched it)`);
      await moveTemporaryInstance(this.operation, instance, { kind: 'xid', xid: one.xid });
      this.moves++;
      const state = await this.look(instance);
      const probe: LocateProbe = { what: 'commit', id: one.xid, at: one.committedAt, ...state };
      this.probes.push(probe);
      if (!state.holds) return { good, goodStop, bad: one, isExact: one.index === before + 1 };
      [good, goodStop, before] = [probe, one, one.index];
    }
    return { good, goodStop, bad: end, isExact: end !== null && before === total - 1 };
  }

  private endOfRange(bad: string | null, until: LocateBackup | null): string {
    const { to } = this.input.order;
    if (bad !== null) return later(bad, MARGIN_MS);
    if (until !== null) return later(until.at, MARGIN_MS);
    return to ?? new Date(Date.now()).toISOString();
  }

  private look(instance: string): Promise<TableState> {
    return this.step(LOOK, (summary) =>
      readActivities(this.operation.host, summary).probeTable({ ...this.request, instance }),
    );
  }

  private withInstance<T>(
    instance: string,
    target: RecoveryTarget,
    policy: string,
    body: (opened: OpenedInstance, instance: string) => Promise<T>,
  ): Promise<T> {
    const { requester, order } = this.input;
    this.restores++;
    return withTemporaryInstance(
      this.operation,
      { instance, requester, order: { target, policy, databases: [order.database] } },
      (opened) => body(opened, instance),
    );
  }

  /** A state that is coherent again later means that more than one thing happened. */
  private noteBroken(): void {
    const { bisection, plan } = this;
    const { broken } = bisection;
    const isBack = plan.now?.holds === true && bisection.bad < plan.backups.length;
    const [at, again] = broken !== null ? [broken, bisection.good] : isBack ? [bisection.bad, null] : [null, null];
    if (at === null) return;
    const later = again === null ? 'production' : (plan.backups[again]?.id ?? '');
    const note = `the state changes more than once: ${plan.backups[at]?.id ?? ''} is not coherent, and ${later} is again; what is found is one of the changes`;
    if (!this.notes.includes(note)) this.notes.push(note);
  }

  private showProgress(what: string): void {
    const { status } = this.operation;
    const { left } = this.bisection;
    const seconds = this.restores === 0 ? null : status.seconds(RESTORE) / this.restores;
    const each = seconds === null ? '' : `, about ${durationInWords(Math.max(1, Math.round(seconds)))} each`;
    status.show(
      'running',
      null,
      [
        `Condition: **${conditionText(this.input.order.condition)}**`,
        `Now: ${what}.`,
        `${this.restores} restores and ${this.moves} moves so far; at most ${left} more backups to look into${each}, of ${mostProbes(this.plan.backups.length)} in all, then one replay of the WAL.`,
      ].join('\n\n'),
    );
  }

  private ended(
    found: Pick<LocateResult, 'state'> & Partial<Pick<LocateResult, 'good' | 'bad' | 'transaction'>>,
  ): LocateResult {
    const { database, table, condition } = this.input.order;
    const { good = null, bad = null, transaction = null, state } = found;
    const told = { state, database, table, condition, good, bad, transaction };
    const result: LocateResult = {
      ...told,
      ...{ probes: this.probes, restores: this.restores, replays: this.replays, notes: this.notes },
      next: nextCommand(this.input.cluster, told),
    };
    const next = result.next === null ? '' : `\n\nNext: \`${result.next}\``;
    const notes = result.notes.map((note) => `\n\n${note}`).join('');
    this.operation.status.show('completed', null, `**Found:** ${locateText(result)}.${notes}${next}`);
    return result;
  }

  private get production(): LocateProbe | null {
    return this.probes.find(({ what }) => what === 'production') ?? null;
  }

  private probeOf(backup: LocateBackup | null): LocateProbe | null {
    return this.probes.findLast(({ id }) => backup !== null && id === backup.id) ?? null;
  }

  private get request() {
    return { ...this.operation.step, order: this.input.order };
  }

  private step<T>(name: string, run: (summary: string) => Promise<T>): Promise<T> {
    return this.operation.status.phase(name, () => runStep(this.operation, name, () => run(name)));
  }
}

const targetOf = ({ id }: LocateBackup): RecoveryTarget => ({ kind: 'backup', id });

function stateAfter({ xid, committedAt }: LocateStop): LocateProbe {
  return { what: 'commit', id: xid, at: committedAt, holds: false, figure: 'after its commit' };
}

const commitOf = ({ index: _index, ...commit }: LocateStop): TableCommit => commit;

const later = (at: string, ms: number): string => new Date(Date.parse(at) + ms).toISOString();

/** The place after the beginning of a record. */
const nextPlace = (lsn: string): string => formatLsn(parseLsn(lsn) + 1n);
