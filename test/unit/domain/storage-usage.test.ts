import { describe, expect, it } from '@jest/globals';
import { UsageSums, thawPrice } from '../../../src/domain/storage/storage-usage.js';
import type { Prices, StoredVolume } from '../../../src/domain/storage/storage-usage.js';

const GB = 2 ** 30;
const prices: Prices = {
  currency: 'EUR',
  perGbMonth: { STANDARD: 0.024, STANDARD_IA: 0.01, DEEP_ARCHIVE: 0.002 },
  thawPerGb: { DEEP_ARCHIVE: { Bulk: 0.0025 } },
};
const volume = (key: string, sizeBytes: number, more: Partial<StoredVolume> = {}): StoredVolume => ({
  key,
  sizeBytes,
  storageClass: 'STANDARD',
  state: 'current',
  ...more,
});
const sums = (volumes: readonly StoredVolume[], table: Prices | null = prices) => {
  const added = new UsageSums(['mairie'], table);
  for (const one of volumes) added.add(one);
  return added.usage('offsite', 'db1');
};

describe('P6: what a storage holds and costs', () => {
  it('adds up by cluster, class and state; what belongs to no cluster is one row', () => {
    const { rows, total } = sums([
      volume('mairie/dump/a', GB),
      volume('mairie/dump/b', GB),
      volume('mairie/dump/b', GB, { state: 'noncurrent' }),
      volume('photos/1', 10),
      volume('notes/2', 20),
      volume('mairie', 1),
    ]);
    expect(rows).toEqual([
      { cluster: 'mairie', storageClass: 'STANDARD', state: 'current', objects: 2, bytes: 2 * GB, monthlyCost: 0.048 },
      { cluster: 'mairie', storageClass: 'STANDARD', state: 'noncurrent', objects: 1, bytes: GB, monthlyCost: 0.024 },
      {
        cluster: null,
        storageClass: 'STANDARD',
        state: 'current',
        objects: 3,
        bytes: 31,
        monthlyCost: expect.closeTo((31 / GB) * 0.024, 15),
      },
    ]);
    expect(total.monthlyCost).toBeCloseTo(0.072, 6);
  });

  it('charges small objects of cold classes as what Amazon bills, and parts of uploads as they are', () => {
    const [archived, infrequent, part] = sums([
      volume('mairie/a', 0, { storageClass: 'DEEP_ARCHIVE' }),
      volume('mairie/b', 1, { storageClass: 'STANDARD_IA' }),
      volume('mairie/c', 1, { storageClass: 'STANDARD_IA', state: 'unfinished' }),
    ]).rows;
    expect(archived?.monthlyCost).toBeCloseTo(((40 * 1024) / GB) * 0.002, 15);
    expect(infrequent?.monthlyCost).toBeCloseTo(((128 * 1024) / GB) * 0.01, 15);
    expect(part?.monthlyCost).toBeCloseTo((1 / GB) * 0.01, 15);
  });

  it('invents no cost: without a table, or with a class that has no price, the sum is not known', () => {
    expect(sums([volume('mairie/a', GB)], null)).toMatchObject({
      currency: null,
      rows: [{ monthlyCost: null }],
      total: { monthlyCost: null },
    });
    expect(sums([volume('mairie/a', GB), volume('mairie/b', GB, { storageClass: 'GLACIER' })]).total).toMatchObject({
      objects: 2,
      monthlyCost: null,
    });
    expect(thawPrice(prices, 'DEEP_ARCHIVE', 'Standard', GB)).toBeNull();
    expect(thawPrice(prices, 'DEEP_ARCHIVE', 'Bulk', 4 * GB)).toBeCloseTo(0.01, 10);
  });

  it('F40: a million objects in as many folders are a handful of rows', () => {
    const added = new UsageSums(['mairie'], prices);
    for (let index = 0; index < 1_000_000; index++) added.add(volume(`folder-${index}/x`, 1));
    expect(added.usage('offsite', 'db1').rows).toEqual([
      expect.objectContaining({ cluster: null, objects: 1_000_000, bytes: 1_000_000 }),
    ]);
  });
});
