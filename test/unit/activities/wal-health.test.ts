import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Backup } from '../../../src/domain/backup/backup.js';
import type { RecoveryOutline } from '../../../src/engines/engine.js';
import { windowOf } from '../../../src/activities/inspection/wal-health.js';

const backups = (count: number): Backup[] =>
  Array.from({ length: count }, (_, index) => ({ id: `b${index}`, finishedAt: `finished ${index}` }) as Backup);
const indexOf = ({ id }: Backup): number => Number(id.slice(1));

describe('F23: from which backup on the log has no hole', () => {
  it('finds the oldest one, wherever the hole is, in few looks', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 200 }), fc.nat(), async (count, seed) => {
        const firstWhole = seed % (count + 1);
        let looks = 0;
        const window = await windowOf({ name: 'physical' }, backups(count), async (backup) => {
          looks++;
          return indexOf(backup) < firstWhole
            ? { gap: 'segment x is missing' }
            : ({ reachableTo: 'newest' } as RecoveryOutline);
        });
        const found = firstWhole < count;
        expect(window).toEqual({
          policy: 'physical',
          oldest: found ? `finished ${firstWhole}` : null,
          newest: found ? 'newest' : null,
          hole: firstWhole === 0 ? null : 'segment x is missing',
        });
        expect(looks).toBeLessThanOrEqual(firstWhole === 0 ? 1 : 2 + Math.ceil(Math.log2(count)));
      }),
    );
  });

  it('says that nothing can be recovered where there is no backup', async () => {
    const window = await windowOf({ name: 'physical' }, [], () => Promise.reject(new Error('not asked')));
    expect(window).toEqual({ policy: 'physical', oldest: null, newest: null, hole: null });
  });
});
