import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  Bisection,
  isPlaceOfTimeline,
  type Known,
  mostProbes,
  nextCommand,
  type TableCommit,
  type TableCondition,
} from '../../../../src/domain/table/locate.js';
import {
  chooseStops,
  type FollowedChange,
  mayBreak,
  MOST_STOPS,
  Reckoning,
  stopsFor,
  weightOf,
} from '../../../../src/domain/table/locate-stops.js';

const commit = (change: object) => ({
  ...{ xid: '7', committedAt: '2026-11-21T02:00:00.000000Z', lsn: '0/1' },
  ...{ inserted: 0, updated: 0, deleted: 0, actions: [] },
  ...change,
});

describe('T5: the search for what broke a table', () => {
  it('T5: finds the boundary among backups with no more probes than promised', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 400 }), fc.float({ min: 0, max: 1, noNaN: true }), (count, part) => {
        const good = Math.round(part * count);
        const bisection = new Bisection(Array.from({ length: count }, (): Known => null));
        let probes = 0;
        for (let next = bisection.next; next !== null; next = bisection.next) {
          expect(probes + bisection.left).toBeLessThanOrEqual(mostProbes(count));
          bisection.set(next, next < good ? 'good' : 'bad');
          probes++;
        }
        expect([bisection.good, bisection.bad]).toEqual([good - 1, good]);
        expect(probes).toBeLessThanOrEqual(mostProbes(count));
        // With the restore for the WAL.
        if (count > 0) expect(probes + 1).toBeLessThanOrEqual(Math.log2(count) + 2);
      }),
    );
  });

  it('T5: what is known costs nothing, and a state that comes back is noticed', () => {
    const known = new Bisection(['good', 'good', 'bad', 'bad']);
    expect([known.next, known.good, known.bad, known.broken]).toEqual([null, 1, 2, null]);
    const again = new Bisection(['good', 'bad', 'good', 'bad']);
    expect([again.next, again.good, again.bad, again.broken]).toEqual([null, 2, 3, 1]);
    // The oldest states may be from before the rows were there.
    expect(new Bisection(['bad', 'good', 'bad']).broken).toBeNull();
  });

  it('T5: a backup that cannot be looked into is passed over', () => {
    const bisection = new Bisection(['good', null, null, null, 'bad']);
    expect(bisection.next).toBe(2);
    bisection.set(2, 'unreadable');
    expect([bisection.next, bisection.left]).toEqual([3, 2]);
    bisection.set(3, 'unreadable');
    bisection.set(1, 'good');
    expect([bisection.next, bisection.good, bisection.bad]).toEqual([null, 1, 4]);
  });

  it('T5: a table that was not there yet broke later, and one that was dropped is broken', () => {
    // It is in production: it was made after the middle one.
    const made = new Bisection([null, null, 'absent', null, null], true);
    expect([made.next, made.bad]).toEqual([4, 5]);
    made.set(4, 'bad');
    expect([made.next, made.bad]).toEqual([3, 4]);
    made.set(3, 'absent');
    expect([made.next, made.good, made.bad]).toEqual([null, -1, 4]);
    // It is not: it was dropped before the middle one, or never was.
    const dropped = new Bisection([null, null, 'absent', null, null], false);
    expect([dropped.next, dropped.bad]).toEqual([1, 2]);
    dropped.set(1, 'good');
    expect([dropped.next, dropped.good, dropped.bad]).toEqual([null, 1, 2]);
    // Dropped and made again: between two that have it, it is broken.
    expect(new Bisection(['good', 'absent', 'good', 'bad'], true).broken).toBe(1);
  });

  it('T5: where production does not answer, the newest backup tells whether the table was made or dropped', () => {
    const unknown = new Bisection([null, null, 'absent', null, null]);
    expect([unknown.next, unknown.left]).toEqual([4, 3]);
    unknown.set(4, 'good');
    expect([unknown.next, unknown.good]).toEqual([null, 4]);
    const gone = new Bisection([null, null, 'absent', null, null]);
    gone.set(4, 'absent');
    expect([gone.next, gone.bad]).toEqual([1, 2]);
  });

  it('T5: backups of a timeline that a recovery has left are told by where they ended', () => {
    const path = [
      { id: 1, until: '0/5000100' },
      { id: 2, until: null },
    ];
    const on = (timeline: number, number: bigint) => isPlaceOfTimeline({ timeline, number }, path, 0x100_0000);
    expect([on(1, 4n), on(1, 5n), on(1, 6n), on(2, 5n), on(3, 5n)]).toEqual([true, null, false, true, false]);
  });

  it('T5: each replay leaves a thirty-second part of the commits, and looks at a few', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 50 }), { minLength: 1, maxLength: 3000, size: 'max' }),
        fc.float({ min: 0, max: 1, noNaN: true }),
        (weights, part) => {
          const culprit = Math.min(weights.length - 1, Math.floor(part * weights.length));
          let [from, until] = [-1, weights.length];
          let replays = 0;
          while (until - from > 1) {
            replays++;
            const offset: number = from + 1;
            const stops = chooseStops(weights.slice(offset, until)).map((index) => index + offset);
            expect(stops.length).toBeLessThanOrEqual(MOST_STOPS + 1);
            const bad = stops.find((index) => index >= culprit);
            from = stops.findLast((index) => index < culprit) ?? from;
            until = bad ?? until;
            if (until - from === 1) break;
          }
          expect(until).toBe(culprit);
          const most = weights.length <= MOST_STOPS ? 1 : weights.length <= (MOST_STOPS * MOST_STOPS) / 2 ? 2 : 3;
          expect(replays).toBeLessThanOrEqual(most);
        },
      ),
      { numRuns: 50 },
    );
  });

  it('T5: of thousands of commits the most damaging one is told by one replay', () => {
    const weights = Array.from({ length: 10_000 }, (_, index) => (index === 7321 ? 30_000 : 1));
    const stops = chooseStops(weights);
    expect(stops).toEqual(expect.arrayContaining([7320, 7321, 9999]));
    expect(stops.length).toBeLessThanOrEqual(MOST_STOPS + 1);
  });

  const reckoned = (
    condition: TableCondition,
    rows: number | null,
    commits: readonly (ReturnType<typeof commit> & { followed?: FollowedChange })[],
  ) => {
    const reckoning = new Reckoning<TableCommit>(condition, rows);
    for (const { followed, ...one } of commits) reckoning.add(one, followed ?? null);
    const { stops } = reckoning;
    return stops === null
      ? null
      : { ...stops, at: stops.stops.map(({ index }) => index), reckoned: stops.reckoned?.xid ?? null };
  };

  it('T5: where rows are counted the WAL says which commit it was, and two looks see that it is so', () => {
    const rows = { kind: 'min-rows', rows: 100 } as const;
    const some = Array.from({ length: 50 }, () => commit({ deleted: 1 }));
    const commits = [
      ...[...some, commit({ inserted: 40 })],
      ...Array.from({ length: 50 }, () => commit({ deleted: 2, inserted: 1 })),
      ...[commit({ deleted: 41, xid: '99' }), ...some],
    ];
    expect(reckoned(rows, 200, commits)).toMatchObject({ total: 151, at: [99, 100, 150], reckoned: '99' });
    // Nobody knows how many a TRUNCATE took, and a rewrite took none.
    const rewritten = commit({ xid: '98', actions: ['rewritten'] });
    expect(reckoned(rows, 200, [rewritten, ...commits])).toMatchObject({ at: [100, 101, 151], reckoned: '99' });
    const truncated = commit({ xid: '97', actions: ['truncated'] });
    expect(reckoned(rows, 200, [...some, truncated, ...commits])).toMatchObject({ at: [49, 50, 201], reckoned: '97' });
    // Nobody knows how many there were, or it was no change of their number: the replay looks.
    expect(reckoned(rows, null, commits)).toBeNull();
    expect(reckoned(rows, 1000, commits)).toBeNull();
    expect(stopsFor(rows, commits).stops.length).toBeGreaterThan(20);
  });

  it('T5: a row that must be there is followed to the commit that took it away, and otherwise through all that changed it', () => {
    const key = { kind: 'key', column: 'id', value: '4' } as const;
    const others = Array.from({ length: 50 }, () =>
      commit({ deleted: 9, followed: { touched: false, isHot: false, left: 1 } }),
    );
    const touches = (xid: string, left: number, isHot = true) =>
      commit({ xid, updated: 1, followed: { touched: true, isHot, left } });
    expect(reckoned(key, 1, [...others, touches('97', 1), ...others, touches('98', 0), ...others])).toMatchObject({
      ...{ total: 152, at: [100, 101, 151], reckoned: '98' },
    });
    // What gave the table another file took it away from those who follow it.
    const gone = { touched: false, isHot: false, left: 0 };
    const rewritten = commit({ xid: '99', actions: ['rewritten'], followed: gone });
    expect(reckoned(key, 1, [...others, rewritten, ...others])).toMatchObject({ at: [49, 50, 100], reckoned: '99' });
    const dropped = commit({ xid: '99', actions: ['database dropped'] });
    expect(reckoned(key, 1, [...others, dropped])).toMatchObject({ at: [49, 50], reckoned: '99' });
    // It is there to the end: its value was changed, if it is not.
    const changed = reckoned(key, 1, [...others, touches('97', 1), ...others, touches('98', 1, false), ...others]);
    expect(changed).toMatchObject({ total: 152, at: [49, 50, 100, 101], reckoned: null });
    const hot = Array.from({ length: 500 }, () => touches('96', 1));
    const often = reckoned(key, 1, [...hot, touches('98', 1, false), ...hot]);
    expect(often?.at).toEqual(expect.arrayContaining([499, 500, 1000]));
    expect(often?.at.length).toBeLessThanOrEqual(MOST_STOPS + 2);
    // Nobody may look where it is.
    expect(reckoned(key, null, [...others, touches('98', 1)])).toBeNull();
    expect(reckoned({ kind: 'invariant', name: 'enough' }, 1, others)).toBeNull();
  });

  it('T5: what cannot break the condition is not looked at', () => {
    const rows = { kind: 'min-rows', rows: 10 } as const;
    const key = { kind: 'key', column: 'id', value: '4' } as const;
    expect(mayBreak(rows, commit({ inserted: 5, deleted: 5 }))).toBe(false);
    expect(weightOf(rows, commit({ inserted: 5, deleted: 9 }))).toBe(4);
    expect(mayBreak(key, commit({ inserted: 5 }))).toBe(false);
    expect(mayBreak(key, commit({ updated: 1 }))).toBe(true);
    expect(mayBreak(key, commit({ actions: ['truncated'] }))).toBe(true);
    // Nobody knows what a query reads: it is true of no row, or of other tables.
    const query = { kind: 'invariant', name: 'enough' } as const;
    expect(mayBreak(query, commit({ inserted: 1 }))).toBe(true);
    expect(weightOf(query, commit({ inserted: 1, updated: 2, deleted: 3 }))).toBe(6);
  });

  it('T5: the next command can be pasted, whatever the names are', () => {
    const named = { database: "d'b", table: { schema: 'S', table: 'my table' }, good: null };
    expect(nextCommand('mairie', { ...named, state: 'transaction', transaction: commit({ xid: '99' }) })).toBe(
      String.raw`reprise table repair mairie 'd'\''b' '"S"."my table"' --xid 99`,
    );
    expect(nextCommand('mairie', { ...named, state: 'holds', transaction: null })).toBeNull();
  });

  it('T5: of a timeline that a recovery has left nothing is repaired by a number of a transaction, which may be another one by now', () => {
    const named = { database: 'd', table: { schema: 's', table: 't' }, good: null };
    const transaction = commit({ xid: '99' });
    expect(nextCommand('mairie', { ...named, state: 'transaction', transaction }, 1)).toBe(
      'reprise explore start mairie --to before-xid:99 --timeline 1',
    );
    const good = { what: 'commit', id: '98', at: null, holds: true, figure: '' } as const;
    expect(nextCommand('mairie', { ...named, good, state: 'between', transaction: null }, 1)).toBe(
      'reprise explore start mairie --to xid:98 --timeline 1',
    );
    expect(nextCommand('mairie', { ...named, good, state: 'never', transaction: null }, 1)).toBeNull();
  });
});
