import { expect, test } from '@jest/globals';
import { HashedText, ServerHash } from '../../../../src/postgres/compare/server-hash.js';

/** `SELECT hashtextextended(text COLLATE "C", seed)` of PostgreSQL 15. */
const FROM_THE_SERVER: readonly (readonly [string, number, string])[] = [
  ['', 0, '-6939563903564495251'],
  ['', 1, '-150071773020461347'],
  ['a', 7, '6761863715122467050'],
  ['abcdefgh', 1, '-996835456672934620'],
  ['abcdefghijk', 0, '3112909444737856467'],
  ['abcdefghijkl', 1, '-6429754808531195817'],
  ['abcdefghijklm', 7, '1223120994160335261'],
  ['é(1,2,3,"x y",)—long long long long text', 1, '303123154163700555'],
];

test('T1: rows that are copied out are hashed as the server hashes them', () => {
  const [hash, hashed] = [new ServerHash(), new HashedText()];
  for (const [text, seed, expected] of FROM_THE_SERVER) {
    const bytes = Buffer.from(text);
    // What was there before does not count.
    hashed.bytes.fill(0xff);
    hashed.bytes.set(bytes);
    hash.hash(hashed, bytes.length, seed);
    expect([text, seed, String(hash.value)]).toEqual([text, seed, expected]);
  }
});
