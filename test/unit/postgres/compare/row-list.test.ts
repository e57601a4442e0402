import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { differingKeys, PairList } from '../../../../src/postgres/compare/leaf-tree.js';
import { byHash, RowList } from '../../../../src/postgres/compare/row-list.js';

/** Few hashes, so that many rows have the same one, on both sides of 2^32 and of 2^63. */
const key = fc.constantFrom(0n, 1n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 63n, 2n ** 64n - 1n);
const rows = fc.array(fc.tuple(key, fc.string({ maxLength: 20 })), { maxLength: 40 });

function listOf(of: readonly (readonly [bigint, string])[]): RowList {
  const list = new RowList();
  // One buffer for all: a row must be copied.
  const bytes = Buffer.alloc(200);
  for (const [hash, text] of of) list.add(hash, bytes.subarray(0, bytes.write(text)));
  return list;
}

test('T1: rows of two sides are given by the hashes of their keys, as they were added', () => {
  fc.assert(
    fc.property(rows, rows, (left, right) => {
      const hashes = [...new Set([...left, ...right].map(([hash]) => hash))].toSorted((a, b) => (a < b ? -1 : 1));
      const of = (side: typeof left, hash: bigint): string[] =>
        side.filter(([one]) => one === hash).map(([, text]) => text);
      const given = [...byHash(listOf(left), listOf(right))].map(({ before, after }) => [
        before.map(String),
        after.map(String),
      ]);
      expect(given).toEqual(hashes.map((hash) => [of(left, hash), of(right, hash)]));
    }),
  );
});

test('T1: rows of many sizes, more than a block holds, stay as they are', () => {
  const texts = Array.from({ length: 3000 }, (_, at) => String(at).repeat(1 + (at % 90)));
  texts.push('w'.repeat(600_000), 'after');
  const list = new RowList();
  for (const [at, text] of texts.entries()) list.add(BigInt(at), Buffer.from(text));
  expect(texts.map((_, at) => list.line(at).toString())).toEqual(texts);
});

test('T1: keys that differ are each found once, however often they are in a list', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(key, fc.nat(2))), fc.array(fc.tuple(key, fc.nat(2))), (left, right) => {
      const pairs = (of: typeof left): PairList => {
        const list = new PairList();
        for (const [hash, value] of of) list.add(hash, BigInt(value));
        return list;
      };
      const times = (of: typeof left, [hash, value]: readonly [bigint, number]): number =>
        of.filter((one) => one[0] === hash && one[1] === value).length;
      const differ = [...left, ...right].filter((pair) => times(left, pair) !== times(right, pair));
      const expected = [...new Set(differ.map(([hash]) => hash))].toSorted((a, b) => (a < b ? -1 : 1));
      expect([...differingKeys(pairs(left), pairs(right))]).toEqual(expected);
    }),
  );
});
