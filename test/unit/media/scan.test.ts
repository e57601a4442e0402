import { describe, expect, test } from '@jest/globals';
import type { MediaAction } from '../../../src/media/action.js';
import { MediaScan } from '../../../src/media/scan.js';
import { collect } from '../../helpers/collect.js';

async function* actions(count: number): AsyncGenerator<MediaAction> {
  for (let n = 0; n < count; n++) {
    yield { name: 'right', key: `${n}-right`, sizeBytes: 1 };
    yield { name: 'remove', key: `${n}`, sizeBytes: 1 };
  }
}

describe('F31: what a look found is used by the step after it', () => {
  test('all that changes something, in order; what passes is the same', async () => {
    const look = new MediaScan();
    expect(await collect(look.over(actions(2000)))).toHaveLength(4000);
    expect(look.fresh?.map(({ key }) => key)).toEqual(Array.from({ length: 2000 }, (_, n) => `${n}`));
  });

  test('more than some thousand changes are listed anew, and so are those that are no longer fresh', async () => {
    const many = new MediaScan();
    await collect(many.over(actions(2001)));
    expect(many.fresh).toBeNull();
    let now = 0;
    const old = new MediaScan(() => now);
    await collect(old.over(actions(1)));
    now = 10_000;
    expect(old.fresh).toHaveLength(1);
    now = 10_001;
    expect(old.fresh).toBeNull();
  });
});
