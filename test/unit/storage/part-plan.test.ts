import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { partPlan, placeOfPiece } from '../../../src/storage/s3/upload/part-plan.js';

const MIB = 1024 ** 2;
const configured = fc.record({
  partBytes: fc.integer({ min: 5 * MIB, max: 5 * 1024 * MIB }),
  concurrency: fc.integer({ min: 1, max: 64 }),
});

describe('a stream of unknown length as parts of an object (B1)', () => {
  it('takes 32 MiB for its pieces at most, whatever is configured and however long it is', () => {
    fc.assert(
      fc.property(configured, (options) => {
        const { pieceBytes, atOnce } = partPlan(options);
        expect(pieceBytes * atOnce).toBeLessThanOrEqual(32 * MIB);
        expect(atOnce).toBeGreaterThanOrEqual(1);
        expect(atOnce).toBeLessThanOrEqual(options.concurrency);
        expect(pieceBytes).toBeLessThanOrEqual(options.partBytes);
      }),
    );
  });

  it('reaches 5 TiB within 10,000 parts, each of 5 MiB to 5 GiB, a gathered one of 10,000 pieces at most', () => {
    fc.assert(
      fc.property(configured, (options) => {
        const { pieceBytes, direct, perPart } = partPlan(options);
        const last = Math.floor((5 * 1024 ** 4) / pieceBytes);
        expect(placeOfPiece(last, { direct, perPart }).part).toBeLessThanOrEqual(10_000);
        expect(pieceBytes).toBeGreaterThanOrEqual(5 * MIB);
        expect(perPart * pieceBytes).toBeLessThanOrEqual(5 * 1024 * MIB);
        expect(perPart).toBeLessThanOrEqual(10_000);
      }),
    );
  });

  it('keeps the order of the pieces', () => {
    const plan = { direct: 2, perPart: 3 };
    const places = Array.from({ length: 9 }, (_, index) => placeOfPiece(index + 1, plan));
    expect(places.map(({ part, place }) => `${part}${place === null ? '' : `/${place}`}`)).toEqual([
      '1',
      '2',
      '3/1',
      '3/2',
      '3/3',
      '4/1',
      '4/2',
      '4/3',
      '5/1',
    ]);
  });
});
