import { beforeAll, describe, expect, it } from '@jest/globals';
import { workflowTypes } from '../../src/domain/operation/names.js';
import {
  type LocateBackup,
  type LocatePlan,
  type TableCommit,
  type TableCondition,
  type TableState,
} from '../../src/domain/table/locate.js';
import { type FollowedChange, Reckoning, stopsFor } from '../../src/domain/table/locate-stops.js';
import { readTarget } from '../../src/domain/target/target.js';
import type { LocateOutput } from '../../src/workflows/api.js';
import { openedInstanceOf, plannedInstanceOf } from './instances.js';
import { type Activities, failure, failureOfWorkflow, Lab, untilCancelled } from './lab.js';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.start();
});

/** A history of a table: a number of rows after each minute's commit, and backups between. */
interface World {
  /** Rows after the commit of each minute; null: there is no table. */
  readonly rows: readonly (number | null)[];
  /** In which minutes there is a backup, after its commit. */
  readonly backups: readonly number[];
  readonly dumps?: readonly number[];
  /** Backups that cannot be restored, and with what that fails. */
  readonly lost?: Readonly<Record<number, Parameters<typeof failure>[0]>>;
  /** What backups recorded; absent: nothing. */
  readonly recorded?: boolean;
  readonly now?: TableState | null;
  /** Instances that there is room for. */
  readonly room?: number;
  /** The minute after which the WAL is missing. */
  readonly walEnds?: number;
  /** What the commit of a minute did to the row that is searched for, as the WAL says; absent: it cannot be followed. */
  readonly followed?: (minute: number) => FollowedChange;
}

const BEGIN = Date.UTC(2026, 10, 21);
const instantOf = (minute: number): string => new Date(BEGIN + minute * 60_000).toISOString();
/** Smaller ones are PostgreSQL's own. */
const FIRST_XID = 1000;
const xidOf = (minute: number): string => String(FIRST_XID + minute);
const lsnOf = (minute: number): string => `0/${(minute * 16 + 16).toString(16).toUpperCase()}`;
const minuteOf = (lsn: string): number => (Number.parseInt(lsn.slice(2), 16) - 16) / 16;

/** What hosts would answer of that history, with what is open at each time. */
class Played {
  readonly open = new Map<string, number>();
  most = 0;
  constructor(
    readonly world: World,
    readonly condition: TableCondition,
  ) {}

  stateAt(minute: number): TableState {
    const rows = this.world.rows[minute] ?? null;
    if (rows === null) return { holds: false, absent: true, figure: 'the table is not there' };
    const least = this.condition.kind === 'min-rows' ? this.condition.rows : 1;
    return { holds: rows >= least, rows, figure: `${rows} rows` };
  }

  get plan(): LocatePlan {
    const { backups, dumps = [], recorded = false, now } = this.world;
    const one = (minute: number, policy: string): LocateBackup => ({
      ...{ id: `mairie:${policy}:${minute}`, policy, at: instantOf(minute), startedAt: instantOf(minute) },
      recorded: recorded ? this.stateAt(minute) : null,
    });
    return {
      backups: [...dumps.map((minute) => one(minute, 'dump')), ...backups.map((minute) => one(minute, 'physical'))],
      walPolicy: backups.length === 0 ? null : 'physical',
      now: now === undefined ? this.stateAt(this.world.rows.length - 1) : now,
    };
  }

  get activities(): Partial<Activities> {
    const { world, open } = this;
    return {
      planLocate: async () => this.plan,
      planInstance: async (step) => {
        if (open.size >= (world.room ?? 2)) throw failure('disk-full', 'there is no room');
        const { target } = step.order;
        const minute =
          target.kind === 'backup'
            ? Number(target.id.split(':')[2])
            : target.kind === 'xid'
              ? Number(target.xid) - FIRST_XID
              : -1;
        const lost = world.lost?.[minute];
        if (lost !== undefined) throw failure(lost, `backup ${minute} is lost`);
        open.set(step.instance, minute);
        this.most = Math.max(this.most, open.size);
        return plannedInstanceOf(step);
      },
      openInstance: async (step) => {
        const minute = open.get(step.instance) ?? -1;
        const opened = openedInstanceOf(step);
        return { ...opened, reached: { ...opened.reached, lastLsn: lsnOf(minute + 0.5) } };
      },
      moveInstance: async (step) => {
        const target = readTarget(step.target);
        const minute = target.kind === 'xid' ? Number(target.xid) - FIRST_XID : -1;
        if (minute < (open.get(step.instance) ?? Infinity)) throw failure('internal', 'an instance goes forward only');
        if (minute > (world.walEnds ?? Infinity)) throw failure('wal-gap', 'the WAL is missing');
        open.set(step.instance, minute);
        return openedInstanceOf(step);
      },
      probeTable: async ({ instance }) => this.stateAt(open.get(instance) ?? -1),
      findCommits: async ({ range }) => {
        const changes = world.rows.flatMap((rows, minute) => {
          const before = world.rows[minute - 1] ?? 0;
          const change = (rows ?? 0) - before;
          const isIn =
            minute > minuteOf(range.afterLsn) &&
            (range.beforeLsn === null || minute < minuteOf(range.beforeLsn)) &&
            instantOf(minute) <= range.to;
          if (!isIn) return [];
          const counts = { inserted: Math.max(0, change) + 1, deleted: Math.max(0, -change) + 1, updated: 1 };
          const xid = xidOf(minute);
          const commit: TableCommit = {
            xid,
            committedAt: instantOf(minute),
            lsn: lsnOf(minute),
            ...counts,
            actions: [],
          };
          return [{ commit, followed: world.followed?.(minute) ?? null }];
        });
        const isFollowed = this.condition.kind === 'key' && world.followed !== undefined;
        const reckoning = new Reckoning<TableCommit>(this.condition, isFollowed ? 1 : (range.rows ?? null));
        for (const { commit, followed } of changes) reckoning.add(commit, followed);
        const isKnown = range.reckons !== false && (isFollowed || this.condition.kind === 'min-rows');
        const { total, stops, reckoned } =
          (isKnown ? reckoning.stops : null) ??
          stopsFor(
            this.condition,
            changes.map(({ commit }) => commit),
          );
        return {
          total,
          stops: stops.map(({ commit, index }) => ({ ...commit, index })),
          ...(reckoned === undefined ? {} : { reckoned: reckoned?.xid ?? null }),
          notes: [],
        };
      },
      closeInstance: async ({ instance }) => {
        open.delete(instance);
      },
    };
  }
}

const table = { schema: 'metier', table: 'demandes_rdv' };
const id = 'table-locate/CLUSTER/op';

async function locate(world: World, condition: TableCondition = { kind: 'key', column: 'id', value: '4' }) {
  const played = new Played(world, condition);
  const one = lab.case(played.activities);
  const input = { requester: 'ops', operationId: 'op', order: { database: 'mairie', table, condition } };
  const handle = await one.start(workflowTypes.locateTable, id, input);
  return { one, played, handle, found: (): Promise<LocateOutput> => handle.result() as Promise<LocateOutput> };
}

const history = (minutes: number, rows: (minute: number) => number | null) =>
  Array.from({ length: minutes }, (_, minute) => rows(minute));
const every = (minutes: number, count: number) => Array.from({ length: count }, (_, index) => index * minutes);

describe('T5: the search for what broke a table', () => {
  it.each([1, 500, 1003, 1441, 1740, 1799])(
    'T5: over 30 backups and an hour of commits at most log2(backups) + 2 restores and one replay (minute %i)',
    async (culprit) => {
      const rows = history(1800, (minute) => 200_000 + minute - (minute >= culprit ? 150_000 : 0));
      const { found, played } = await locate({ rows, backups: every(60, 30) }, { kind: 'min-rows', rows: 100_000 });
      const result = await found();
      expect(result).toMatchObject({ state: 'transaction', transaction: { xid: xidOf(culprit) }, replays: 1 });
      expect(result.restores).toBeLessThanOrEqual(Math.log2(30) + 2);
      expect(played.open.size).toBe(0);
      expect(played.most).toBeLessThanOrEqual(2);
    },
  );

  it('T5: what no count tells needs a second replay at most, and still no more restores', async () => {
    const rows = history(1800, (minute) => (minute >= 1033 ? 0 : 1));
    const { found } = await locate({ rows, backups: every(60, 30) });
    const result = await found();
    expect(result).toMatchObject({ state: 'transaction', transaction: { xid: xidOf(1033) } });
    expect(result.replays).toBeLessThanOrEqual(2);
    expect(result.restores).toBeLessThanOrEqual(Math.log2(30) + 2);
  });

  it.each([1, 500, 1003, 1799])(
    'T5: a row that is followed through the WAL leads there by one replay, with two stops in it (minute %i)',
    async (culprit) => {
      const rows = history(1800, (minute) => (minute >= culprit ? 0 : 1));
      const followed = (minute: number): FollowedChange => {
        return { touched: minute === culprit, isHot: false, left: minute >= culprit ? 0 : 1 };
      };
      const { found, one } = await locate({ rows, backups: every(60, 30), followed });
      const result = await found();
      expect(result).toMatchObject({ state: 'transaction', transaction: { xid: xidOf(culprit) }, replays: 1 });
      expect(result.good).toMatchObject(culprit === 1 ? { what: 'backup' } : { id: xidOf(culprit - 1) });
      expect(one.of('moveInstance').length).toBeLessThanOrEqual(2);
    },
  );

  it('T5: a row that was deleted and came again is reckoned anew, and one whose value was changed is seen where it was', async () => {
    const backups = every(600, 1);
    // Deleted and inserted by one transaction, at 100 and 200: it is another version, and followed from there.
    const again = await locate({
      ...{ rows: history(600, (minute) => (minute >= 333 ? 0 : 1)), backups },
      followed: (minute) => ({
        touched: minute % 100 === 0,
        isHot: false,
        left: minute % 100 === 0 || minute >= 333 ? 0 : 1,
      }),
    });
    expect(await again.found()).toMatchObject({ transaction: { xid: xidOf(333) }, restores: 1, replays: 1 });
    expect(again.one.of('findCommits').length).toBe(4);
    // Changed at 333, and never deleted.
    const changed = await locate({
      ...{ rows: history(600, (minute) => (minute >= 333 ? 0 : 1)), backups },
      followed: (minute) => ({ touched: minute === 100 || minute === 333, isHot: false, left: 1 }),
    });
    expect(await changed.found()).toMatchObject({ transaction: { xid: xidOf(333) }, restores: 1, replays: 1 });
    expect(changed.one.of('moveInstance').length).toBe(4);
    // What the WAL says led nowhere: the replay looks at all that can have broken it.
    const lost = await locate({
      ...{ rows: history(600, (minute) => (minute >= 333 ? 0 : 1)), backups },
      followed: (minute) => ({ touched: minute === 100, isHot: false, left: 1 }),
    });
    expect(await lost.found()).toMatchObject({ state: 'transaction', transaction: { xid: xidOf(333) } });
    expect(lost.one.of('findCommits')[1]).toMatchObject({ range: { reckons: false } });
  });

  it('T5: counts that backups recorded leave one restore; where there is no room for two instances, one is enough', async () => {
    const rows = history(600, (minute) => (minute >= 333 ? 10 : 1000));
    const world = { rows, backups: every(60, 10) };
    const recorded = await locate({ ...world, recorded: true }, { kind: 'min-rows', rows: 100 });
    expect(await recorded.found()).toMatchObject({ transaction: { xid: xidOf(333) }, restores: 1, replays: 1 });
    const tight = await locate({ ...world, room: 1 }, { kind: 'min-rows', rows: 100 });
    expect(await tight.found()).toMatchObject({ transaction: { xid: xidOf(333) }, replays: 1 });
    expect(tight.played.most).toBe(1);
  });

  it('T5: backups that are gone, damaged or of another version are passed over, and named', async () => {
    const rows = history(600, (minute) => (minute >= 333 ? 0 : 1));
    const lost = { 300: 'backup-corrupt', 360: 'not-found', 240: 'version-mismatch' } as const;
    const { found, played } = await locate({ rows, backups: every(60, 10), lost });
    const result = await found();
    expect(result).toMatchObject({ state: 'transaction', transaction: { xid: xidOf(333) } });
    expect(result.notes.some((note) => note.includes('mairie:physical:300 could not be looked into'))).toBe(true);
    expect(result.probes.filter(({ holds }) => holds === null).length).toBeGreaterThan(0);
    expect(played.open.size).toBe(0);
  });

  it('T5: a failure that every backup would meet ends the search at once', async () => {
    const rows = history(600, () => 1);
    const { handle, one } = await locate({ rows, backups: every(60, 10), room: 0, now: null });
    expect(await failureOfWorkflow(handle)).toMatchObject({ type: 'disk-full' });
    expect(one.of('planInstance')).toHaveLength(1);
  });

  it('T5: a table that was made later, and one that was dropped', async () => {
    const made = history(600, (minute) => (minute < 400 ? null : minute >= 511 ? 0 : 1));
    const later = await locate({ rows: made, backups: every(60, 10) });
    expect(await later.found()).toMatchObject({ state: 'transaction', transaction: { xid: xidOf(511) } });
    const dropped = history(600, (minute) => (minute >= 222 ? null : 1));
    const gone = await locate({ rows: dropped, backups: every(60, 10) });
    expect(await gone.found()).toMatchObject({ state: 'transaction', transaction: { xid: xidOf(222) } });
  });

  it('T5: none is good, the newest backup is bad already, or nothing is broken: each is said', async () => {
    const none = await (await locate({ rows: history(600, () => 0), backups: every(60, 10) })).found();
    expect(none).toMatchObject({ state: 'no-good', good: null, bad: { id: 'mairie:physical:0' }, next: null });
    expect(none.notes.join(' ')).toContain('the oldest backup is mairie:physical:0');
    const late = await locate({ rows: history(600, (minute) => (minute >= 539 ? 0 : 1)), backups: every(60, 10) });
    expect(await late.found()).toMatchObject({ state: 'transaction', transaction: { xid: xidOf(539) } });
    const after = await locate({ rows: history(600, (minute) => (minute >= 590 ? 0 : 1)), backups: every(60, 10) });
    expect(await after.found()).toMatchObject({ state: 'transaction', transaction: { xid: xidOf(590) } });
    const whole = await locate({ rows: history(600, () => 1), backups: every(60, 10) });
    expect(await whole.found()).toMatchObject({ state: 'holds', restores: 0 });
    const down = await locate({ rows: history(600, () => 1), backups: every(60, 10), now: null });
    expect(await down.found()).toMatchObject({ state: 'never' });
  });

  it('T5: damage that comes and goes: one change from good to bad is found, and that there are more is said', async () => {
    const isBad = (minute: number): boolean => (minute >= 130 && minute < 190) || minute >= 410;
    const rows = history(600, (minute) => (isBad(minute) ? 0 : 1000));
    const { found } = await locate({ rows, backups: every(60, 10), recorded: true }, { kind: 'min-rows', rows: 10 });
    const result = await found();
    expect(result).toMatchObject({ state: 'transaction', transaction: { xid: xidOf(410) } });
    expect(result.notes).toEqual([expect.stringContaining('mairie:physical:180 is not coherent, and')]);
  });

  it('T5: dumps alone are halved too, and it is said what they cannot tell', async () => {
    const rows = history(600, (minute) => (minute >= 333 ? 0 : 1));
    const { found, one } = await locate({ rows, backups: [], dumps: every(60, 10) });
    const result = await found();
    expect(result).toMatchObject({
      ...{ state: 'between', good: { id: 'mairie:dump:300' }, bad: { id: 'mairie:dump:360' }, replays: 0 },
      next: `reprise table compare ${one.cluster} mairie metier.demandes_rdv --backup mairie:dump:300`,
    });
    expect(result.restores).toBeLessThanOrEqual(4);
    expect(result.notes.join(' ')).toContain('no policy archives WAL');
    const before = await locate({
      rows: history(600, (m) => (m >= 333 ? 0 : 1)),
      dumps: [240, 300],
      backups: [360, 420],
    });
    const mixed = await before.found();
    expect(mixed).toMatchObject({
      state: 'between',
      good: { id: 'mairie:dump:300' },
      bad: { id: 'mairie:physical:360' },
    });
    expect(mixed.notes.join(' ')).toContain('from before the first backup whose WAL is there');
  });

  it('T5: WAL that is missing ends the replay with what was seen', async () => {
    const rows = history(600, (minute) => (minute >= 333 ? 0 : 1));
    const { found, played } = await locate({ rows, backups: every(60, 10), walEnds: 320 });
    expect(await found()).toMatchObject({
      ...{ state: 'between', good: { what: 'commit', id: xidOf(320) }, bad: { id: 'mairie:physical:360' } },
      notes: ['the WAL could not be replayed further: the WAL is missing'],
    });
    expect(played.open.size).toBe(0);
  });

  it('T5: called off, it removes the instance that it held and the one that it looked at', async () => {
    const played = new Played(
      { rows: history(600, (minute) => (minute >= 333 ? 0 : 1)), backups: every(60, 10) },
      { kind: 'key', column: 'id', value: '4' },
    );
    let looks = 0;
    const probeTable: Activities['probeTable'] = async (step) =>
      ++looks > 2 ? untilCancelled() : ((await played.activities.probeTable?.(step)) as TableState);
    const one = lab.case({ ...played.activities, probeTable });
    const order = { database: 'mairie', table, condition: played.condition };
    const handle = await one.start(workflowTypes.locateTable, id, { requester: 'ops', operationId: 'op', order });
    await one.called('probeTable', 3);
    expect((await handle.describe()).status.name).toBe('RUNNING');
    await handle.cancel();
    await handle.result().catch(() => undefined);
    expect(played.open.size).toBe(0);
    expect(await one.status()).toMatchObject({ state: 'cancelled' });
  });
});
