// Longer than 400 lines: one search, whose steps share what is known so far.
import type { CommitRange } from '../../activities/api.js';
import type { PlannedInstance } from '../../domain/explore/instance.js';
import {
  Bisection,
  isOfBackup,
  knownOf,
  type LocateBackup,
  type LocatePlan,
  type LocateProbe,
  type LocateResult,
  type LocateStop,
  type LocateStops,
  locateText,
  nextCommand,
  type TableCommit,
  type TableState,
} from '../../domain/table/locate.js';
import type { RecoveryTarget } from '../../domain/target/target.js';
import { formatLsn, parseLsn } from '../../domain/target/wal.js';
import { markdownCode, markdownText } from '../../domain/text/markdown.js';
import type { LocateInput, LocateOutput } from '../api.js';
import { endWithoutInstance, HeldInstance, moveTemporaryInstance } from '../explore/temporary-instance.js';
import { readActivities } from '../operation/activity-proxies.js';
import { type Operation, openOperation } from '../operation/open-operation.js';
import { failureOf } from '../operation/operation-status.js';
import { runStep } from '../operation/run-step.js';
import { LocateProgress } from './locate-progress.js';

const LOOK = 'look at the table';
/** So often a commit is reckoned anew in one replay, where the row was deleted and came again. */
const MOST_RECKONED = 8;
/** Clocks of the server and of the host that recorded the backup differ, and times of commits are not quite in their order. */
const MARGIN_MS = 120_000;

/**
 * Finds the newest coherent state of a table: among the backups, each looked into in a temporary instance, then among the commits of
 * the WAL between two of them, in one that is moved forward. Changes nothing.
 */
export function locateTable(input: LocateInput): Promise<LocateOutput> {
  return openOperation('table-locate', input, async (operation) => {
    const search = new Search(operation, input);
    try {
      return await search.run();
    } finally {
      await search.letGo();
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

/** A part of the WAL, and what is known of its ends. */
interface Stretch {
  readonly from: LocateBackup;
  readonly until: LocateBackup | null;
  /** The newest coherent state in it, and after which commit; null: nobody has looked yet. */
  readonly good: LocateProbe | null;
  readonly stop: LocateStop | null;
  readonly bad: LocateStop | null;
}

/** A query of the configuration may read other tables too. */
function onlyTable({ condition, table }: LocateInput['order']): { readonly only?: [typeof table] } {
  return condition.kind === 'min-rows' || condition.kind === 'key' ? { only: [table] } : {};
}

class Search {
  private plan: LocatePlan = { backups: [], walPolicy: null, now: null };
  private bisection = new Bisection([]);
  private readonly probes: LocateProbe[] = [];
  private readonly notes: string[] = [];
  /** The newest coherent backup that was looked into, still running: the replay of the WAL begins there. */
  private held: { readonly backup: LocateBackup; readonly instance: HeldInstance; readonly state: LocateProbe } | null =
    null;
  private replays = 0;
  private readonly progress: LocateProgress;

  constructor(
    private readonly operation: Operation,
    private readonly input: LocateInput,
  ) {
    this.progress = new LocateProgress(operation.status, input.order.condition);
  }

  async run(): Promise<LocateResult> {
    const { order } = this.input;
    const name = 'list the backups, and look at production';
    this.plan = await this.step(name, (summary) =>
      readActivities(this.operation.host, summary).planLocate(this.request),
    );
    const { backups, now, notes = [] } = this.plan;
    this.notes.push(...notes);
    const known = backups.map(({ recorded }) => (recorded === null ? null : knownOf(recorded)));
    this.bisection = new Bisection(known, now === null ? null : now.absent !== true);
    if (now !== null) this.probes.push({ what: 'production', id: null, at: null, ...now });
    for (const { id, at, recorded } of backups)
      if (recorded !== null) this.probes.push({ what: 'record', id, at, ...recorded });
    this.noteBroken();
    if (now?.holds === true && order.to === undefined && this.bisection.broken === null)
      if (this.bisection.bad === backups.length) return this.ended({ state: 'holds' });
    return this.search();
  }

  /** What a record says of a backup is seen to be so, or not, when the WAL after it is replayed: then the search goes on. */
  private async search(): Promise<LocateResult> {
    for (;;) {
      await this.amongBackups();
      const { good, bad } = this.bisection;
      const { backups, walPolicy, now } = this.plan;
      const from = backups[good];
      const until = backups[bad] ?? null;
      if (from === undefined) return this.noneIsGood(until);
      if (from.policy !== walPolicy || walPolicy === null) {
        if (until === null && now?.holds !== false) return this.ended({ state: 'never' });
        return this.betweenBackups(from, until);
      }
      const found = await this.inWal(from, until);
      if (found !== null) return found;
    }
  }

  /** Halves the backups until two neighbours are known. */
  private async amongBackups(): Promise<void> {
    for (let next = this.bisection.next; next !== null; next = this.bisection.next) {
      const backup = this.plan.backups[next] as LocateBackup;
      this.progress.showSearch(
        `look into ${backup.id}, of ${backup.at}`,
        this.bisection.left,
        this.plan.backups.length,
      );
      await this.lookInto(backup, next);
      this.noteBroken();
    }
  }

  /** One that cannot be restored, or read, is passed over: the others tell the same. */
  private async lookInto(backup: LocateBackup, index: number): Promise<void> {
    let instance: HeldInstance | null = null;
    try {
      instance = await this.open(`probe-${this.progress.restores}`, targetOf(backup), backup);
      const state = await this.look(instance.name);
      const probe: LocateProbe = { what: 'backup', id: backup.id, at: backup.at, ...state };
      this.probes.push(probe);
      this.bisection.set(index, knownOf(state));
      if (!state.holds || backup.policy !== this.plan.walPolicy) return;
      await this.letGo();
      this.held = { backup, instance, state: probe };
    } catch (error) {
      this.passOver(backup, index, error);
    } finally {
      if (this.held?.instance !== instance) await instance?.close();
    }
  }

  /** @throws the error itself where another backup would meet the same */
  private passOver({ id, at }: LocateBackup, index: number, error: unknown): void {
    const { code, message } = failureOf(error);
    if (!isOfBackup(code)) throw error;
    this.bisection.set(index, 'unreadable');
    this.probes.push({ what: 'backup', id, at, holds: null, figure: `could not be looked into (${code})` });
    this.notes.push(`${id} could not be looked into: ${message}`);
  }

  /** Null: a record was wrong, or the backup cannot be restored, and the search goes on with what was seen. */
  private async inWal(from: LocateBackup, until: LocateBackup | null): Promise<LocateResult | null> {
    const { good: index, bad: after } = this.bisection;
    let stretch: Stretch = { from, until, good: null, stop: null, bad: null };
    for (;;) {
      const replayed = await this.replayOf(stretch, index);
      if (replayed === null) return null;
      if ('state' in replayed) return replayed;
      const { good, goodStop, bad } = replayed;
      if (bad === null) return this.nothingBroke(replayed, until, after);
      if (replayed.isExact)
        return this.ended({ state: 'transaction', good, bad: stateAfter(bad), transaction: commitOf(bad) });
      stretch = { from, until, good, stop: goodStop, bad };
    }
  }

  /** Null: the backup is not what it was thought to be. A result: the WAL does not lead further. */
  private async replayOf(stretch: Stretch, index: number): Promise<Replayed | LocateResult | null> {
    let begun: { readonly instance: HeldInstance; readonly state: LocateProbe | null };
    try {
      begun = await this.beginningOf(stretch);
    } catch (error) {
      if (stretch.good !== null) return this.cutOff(stretch, error);
      this.passOver(stretch.from, index, error);
      return null;
    }
    const { instance } = begun;
    try {
      const good = begun.state ?? (await this.lookAtBeginning(instance, stretch.from));
      if (good.holds === true) return await this.replay({ ...stretch, good }, instance);
      this.bisection.set(index, good.absent === true ? 'absent' : 'bad');
      return null;
    } catch (error) {
      return this.cutOff(stretch, error);
    } finally {
      await instance.close();
    }
  }

  /** The instance that is held, where it stands at the beginning; else one that is restored for it. */
  private async beginningOf({ from, good, stop }: Stretch) {
    const { held } = this;
    if (held !== null && good === null && held.backup === from) {
      this.held = null;
      return held;
    }
    await this.letGo();
    const at: RecoveryTarget = stop === null ? targetOf(from) : { kind: 'xid', xid: stop.xid };
    return { instance: await this.open(`wal-${this.progress.restores}`, at, from), state: good };
  }

  private async lookAtBeginning({ name }: HeldInstance, { id, at }: LocateBackup): Promise<LocateProbe> {
    const probe: LocateProbe = { what: 'backup', id, at, ...(await this.look(name)) };
    this.probes.push(probe);
    return probe;
  }

  /** One replay, forward only, stopped after commits that touched the table. */
  private async replay(stretch: Stretch & { readonly good: LocateProbe }, held: HeldInstance): Promise<Replayed> {
    this.replays++;
    const { from, until, bad } = stretch;
    let { good, stop } = stretch;
    let reckoned = 0;
    for (;;) {
      const begin = { from, until, good, stop, bad };
      const stops = await this.commitsAfter(begin, held, reckoned < MOST_RECKONED);
      const replayed = await this.stopAtEach(begin, stops, held.name);
      const isOver = replayed.bad !== bad || stops.reckoned === undefined || !this.isBroken(begin);
      if (isOver) return replayed;
      // Another row with the value has come meanwhile; or what broke it is no change of the row.
      reckoned = stops.reckoned === null ? MOST_RECKONED : reckoned + 1;
      [good, stop] = [replayed.good, replayed.goodStop];
    }
  }

  /** Whether it is known to be broken after a part of the WAL. */
  private isBroken({ until, bad }: Stretch): boolean {
    return bad !== null || until !== null || this.plan.now?.holds === false;
  }

  private async commitsAfter(
    { from, until, good, stop, bad }: Stretch & { readonly good: LocateProbe },
    { name: instance, opened }: HeldInstance,
    reckons: boolean,
  ) {
    const range: CommitRange = {
      from: later(stop?.committedAt ?? from.startedAt, -MARGIN_MS),
      to: this.endOfRange(bad?.committedAt ?? null, until),
      afterLsn: stop === null ? (opened.reached.lastLsn ?? '0/0') : nextPlace(stop.lsn),
      beforeLsn: bad?.lsn ?? null,
      rows: good.rows ?? null,
      ...(reckons ? {} : { reckons }),
    };
    const name = 'find the commits that touched the table';
    const { policy } = from;
    const { notes, ...stops } = await this.step(name, (summary) =>
      readActivities(this.operation.host, summary).findCommits({ ...this.request, instance, policy, range }),
    );
    this.notes.push(...notes.filter((note) => !this.notes.includes(note)));
    return stops;
  }

  private async stopAtEach(
    { good: begin, stop, bad: end }: Stretch & { readonly good: LocateProbe },
    { total, stops, reckoned }: LocateStops,
    instance: string,
  ): Promise<Replayed> {
    let [good, goodStop, before] = [begin, stop, -1];
    const startedAt = Date.now();
    for (const [count, one] of stops.entries()) {
      this.progress.showReplay(count, stops.length, total, startedAt);
      const { xid, lsn, committedAt } = one;
      await moveTemporaryInstance(this.operation, instance, { kind: 'xid', xid }, { lsn, committedAt });
      this.progress.moves++;
      const state = await this.look(instance);
      const probe: LocateProbe = { what: 'commit', id: xid, at: committedAt, ...state };
      this.probes.push(probe);
      if (!state.holds) return { good, goodStop, bad: one, isExact: one.index === before + 1 };
      [good, goodStop, before] = [probe, one, one.index];
      if (xid === reckoned) return { good, goodStop, bad: end, isExact: false };
    }
    return { good, goodStop, bad: end, isExact: end !== null && before === total - 1 };
  }

  /** All of the WAL up to the next backup is coherent. */
  private nothingBroke({ good }: Replayed, until: LocateBackup | null, after: number): LocateResult | null {
    const seen = until === null ? null : this.probes.find(({ what, id }) => what === 'backup' && id === until.id);
    if (until !== null && seen === undefined) {
      this.bisection.set(after, 'good');
      return null;
    }
    if (until === null && (this.plan.now?.holds !== false || this.input.order.to !== undefined))
      return this.ended({ state: 'never', good });
    this.notes.push(
      'no commit that touched the table broke it: what the condition reads besides the table did, or WAL that could not be read',
    );
    return this.ended({ state: 'between', good, bad: this.probeOf(until) ?? this.production });
  }

  /** The WAL is not whole: what is behind is not seen. @throws the error itself where it says nothing of the WAL */
  private cutOff({ good, bad, until }: Stretch, error: unknown): LocateResult {
    const { code, message } = failureOf(error);
    const newest = this.probes.findLast(({ what, holds }) => what === 'commit' && holds === true) ?? good;
    if (!isOfBackup(code)) throw error;
    this.notes.push(`the WAL could not be replayed further: ${message}`);
    return this.ended({
      state: 'between',
      good: newest ?? this.probes.findLast(({ holds }) => holds === true) ?? null,
      bad: bad === null ? (this.probeOf(until) ?? this.production) : stateAfter(bad),
    });
  }

  /** Without WAL nobody can tell more. */
  private betweenBackups(from: LocateBackup, until: LocateBackup | null): LocateResult {
    const { walPolicy } = this.plan;
    this.notes.push(
      walPolicy === null
        ? `dumps hold single instants: what happened after ${from.at}${until === null ? '' : ` and before ${until.at}`} is in none of them, and no policy archives WAL, which would name the transaction; the logs of applications and of the server may tell`
        : `${from.id} is from before the first backup whose WAL is there (policy ${walPolicy}): what happened between them is in no WAL`,
    );
    return this.ended({ state: 'between', good: this.probeOf(from), bad: this.probeOf(until) ?? this.production });
  }

  private noneIsGood(until: LocateBackup | null): LocateResult {
    const oldest = this.plan.backups[0];
    this.notes.push(
      oldest === undefined
        ? 'there is no backup'
        : `the oldest backup is ${oldest.id}, of ${oldest.at}: it broke before, it never was so, or the condition asks for too much; older copies can be taken over by \`reprise backup adopt\``,
    );
    return this.ended({ state: 'no-good', bad: this.probeOf(until) });
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

  /** Where there is no room beside the one that is held, that one goes. */
  private async open(name: string, target: RecoveryTarget, { policy }: LocateBackup): Promise<HeldInstance> {
    const { requester, order } = this.input;
    const { timeline, walPolicy } = this.plan;
    const along = policy === walPolicy && timeline != null ? { timeline } : {};
    const onPlan = ({ restore: { predicted } }: PlannedInstance): void => {
      this.progress.predictedSeconds = predicted?.p50 ?? null;
    };
    const asked = {
      requester,
      onPlan,
      order: { target, policy, databases: [order.database], ...onlyTable(order), ...along },
    };
    const open = (instance: string): Promise<HeldInstance> => {
      this.progress.restores++;
      return HeldInstance.open(this.operation, { ...asked, instance });
    };
    try {
      return await open(name);
    } catch (error) {
      if (this.held === null || failureOf(error).code !== 'disk-full') throw error;
      this.progress.restores--;
      await this.letGo();
      return open(`${name}-alone`);
    }
  }

  /** Ends the instance that is held for the replay. */
  async letGo(): Promise<void> {
    const { held } = this;
    this.held = null;
    await held?.instance.close();
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

  private ended(
    found: Pick<LocateResult, 'state'> & Partial<Pick<LocateResult, 'good' | 'bad' | 'transaction'>>,
  ): LocateResult {
    const { database, table, condition } = this.input.order;
    const { good = null, bad = null, transaction = null, state } = found;
    const told = { state, database, table, condition, good, bad, transaction };
    const left = this.plan.isLeft === true ? (this.plan.timeline ?? null) : null;
    if (left !== null && transaction !== null)
      this.notes.push(
        `timeline ${left} is not production's: a number of a transaction may mean another one there, and nothing is put right by it; copies at its instants are opened with --timeline ${left}`,
      );
    const result: LocateResult = {
      ...told,
      ...{ probes: this.probes, restores: this.progress.restores, replays: this.replays, notes: this.notes },
      next: nextCommand(this.input.cluster, told, left),
    };
    const next = result.next === null ? '' : `\n\nNext: ${markdownCode(result.next)}`;
    const notes = result.notes.map((note) => `\n\n${markdownText(note)}`).join('');
    this.operation.status.show('completed', null, `**Found:** ${markdownText(locateText(result))}.${notes}${next}`);
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
