import { describe, expect, it } from '@jest/globals';
import { ofRandom } from '../../../src/activities/drill/choose-restores.js';
import { RepriseError } from '../../../src/domain/errors.js';
import type { RecoveryOutline } from '../../../src/domain/plan/recovery-observations.js';
import type { RecoveryTarget } from '../../../src/domain/target/target.js';

const first = '2026-01-01T00:00:00.000Z';
const gap = { from: '2026-01-01T00:00:01.000Z', to: '2026-03-31T00:00:00.000Z' };
const seed = '0123456789abcdef';

/** Backups at the first instant and at the end of a gap, commits up to a last one; instants within the gap cannot be reached. */
function source(last: string | null) {
  const asked: string[] = [];
  return {
    asked,
    async outline(target: RecoveryTarget): Promise<RecoveryOutline> {
      if (target.kind === 'time') {
        asked.push(target.time);
        if (target.time > gap.from && target.time < gap.to) throw new RepriseError('wal-gap', 'WAL is missing');
      }
      return {
        target,
        reachableFrom: first,
        reachableTo: last,
        backups: [{ finishedAt: gap.to }],
      } as unknown as RecoveryOutline;
    },
  };
}

describe('P4: a random instant of an archive with a gap', () => {
  it('P4: where nearly all of the time is a gap, it is drawn from what follows the newest backup, the same for the same seed', async () => {
    const last = '2026-03-31T00:10:00.000Z';
    const found = await ofRandom(source(last), seed);
    expect(found?.window).toEqual({ from: gap.to, to: last });
    expect(found).toEqual(await ofRandom(source(last), seed));
  });

  it('P4: before and behind a small gap it is drawn from the whole', async () => {
    const last = '2046-01-01T00:00:00.000Z';
    expect((await ofRandom(source(last), seed))?.window).toEqual({ from: first, to: last });
  });

  it('P4: where nothing was committed since the newest backup there is none, and what is no matter of the instant is told', async () => {
    const own = source('2026-03-30T00:00:00.000Z');
    expect(await ofRandom(own, seed)).toBeNull();
    expect(own.asked.length).toBeGreaterThan(1);
    expect(await ofRandom(source(null), seed)).toBeNull();
    const damaged = {
      outline: async (target: RecoveryTarget) => {
        if (target.kind === 'time') throw new RepriseError('backup-corrupt', 'a file is damaged');
        return source('2046-01-01T00:00:00.000Z').outline(target);
      },
    };
    await expect(ofRandom(damaged, seed)).rejects.toMatchObject({ code: 'backup-corrupt' });
  });
});
