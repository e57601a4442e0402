import { describe, expect, it } from '@jest/globals';
import { backupOrder, mediaOrder, readOrder, recoveryOrder } from '../../../src/domain/operation/orders.js';

const recovery = { target: { kind: 'latest' }, into: 'in-place', pause: false };

describe('orders from outside', () => {
  it('are read whole, and travel as they are', () => {
    for (const order of [
      recovery,
      { ...recovery, policy: 'dump', target: { kind: 'lsn', lsn: '0/16B3740' }, thawTier: 'Bulk', withMedia: 'photos' },
    ])
      expect(readOrder(recoveryOrder, JSON.parse(JSON.stringify(order)))).toEqual(order);
    expect(readOrder(backupOrder, { policy: 'nightly', type: 'incr' })).toEqual({ policy: 'nightly', type: 'incr' });
  });

  it('have a target that is read by the rules of --to, as an object or as text', () => {
    const target = { kind: 'time', time: '2026-11-21T02:15:00Z' };
    expect(readOrder(recoveryOrder, { ...recovery, target })).toMatchObject({ target });
    expect(readOrder(recoveryOrder, { ...recovery, target: '2026-11-21T03:15:00+01:00' })).toMatchObject({ target });
    for (const wrong of [undefined, null, 7, {}, { kind: 'lsn' }, { kind: 'soon' }, { kind: 'xid', xid: '1; DROP' }])
      expect(() => readOrder(recoveryOrder, { ...recovery, target: wrong })).toThrow(
        expect.objectContaining({ code: 'target-invalid' }),
      );
  });

  it.each([
    ['nothing', undefined, 'order: '],
    ['a field that this version does not know', { ...recovery, wipe: true }, 'wipe'],
    ['a field of another type', { ...recovery, pause: 'no' }, 'pause: '],
    ['an empty name', { ...recovery, policy: '' }, 'policy: '],
    ['a name without an end', { ...recovery, database: 'x'.repeat(2000) }, 'database: '],
  ])('%s is refused with its place', (_name, raw, where) => {
    expect(() => readOrder(recoveryOrder, raw)).toThrow(
      expect.objectContaining({ code: 'usage', message: expect.stringContaining(where) }),
    );
  });

  it('of media name one of the two tasks', () => {
    const sync = { media: 'photos', task: { kind: 'sync', into: 'copy', delete: true, maxDelete: 3 } };
    expect(readOrder(mediaOrder, sync)).toEqual(sync);
    expect(() => readOrder(mediaOrder, { ...sync, task: { ...sync.task, maxDelete: -1 } })).toThrow('task.maxDelete');
    expect(() => readOrder(mediaOrder, { ...sync, task: { kind: 'wipe' } })).toThrow('task');
  });
});
