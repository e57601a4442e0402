import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { canonicalJson } from '../../../src/domain/text/canonical-json.js';
import { planDigest, sha256Hex } from '../../../src/records/digest.js';
import { samplePlan } from '../records/samples.js';

describe('canonical JSON', () => {
  it('sorts keys at every depth by UTF-16 code units, without blanks', () => {
    expect(canonicalJson({ b: [{ z: 1, a: null }], a: 'é"\n', '\ufb33': 1, '😀': 2, '1': true })).toBe(
      '{"1":true,"a":"é\\"\\n","b":[{"a":null,"z":1}],"😀":2,"\ufb33":1}',
    );
  });

  it('an absent property and an undefined one are the same', () => {
    expect(canonicalJson({ a: undefined, b: 1 })).toBe(canonicalJson({ b: 1 }));
    expect(canonicalJson([undefined, 1])).toBe('[null,1]');
  });

  it('is read back as the same value, and does not depend on the order of keys', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue({ noUnicodeString: false })), (value) => {
        const text = canonicalJson(value);
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
        const reversed = Object.fromEntries(Object.entries(value).reverse());
        expect(canonicalJson(reversed)).toBe(text);
      }),
    );
  });

  it('refuses what JSON cannot hold', () => {
    const cycle: { self?: unknown } = {};
    cycle.self = cycle;
    for (const value of [NaN, Infinity, 1n, () => 1, Symbol('x'), cycle, { a: NaN }]) {
      expect(() => canonicalJson(value)).toThrow(expect.objectContaining({ code: 'internal' }));
    }
    const twice = { x: 1 };
    expect(canonicalJson([twice, twice])).toBe('[{"x":1},{"x":1}]');
  });
});

describe('digest of a plan', () => {
  it('is the SHA-256 of the binding alone', () => {
    expect(sha256Hex('abc')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
    const plan = samplePlan();
    expect(planDigest({ ...plan.binding })).toBe(plan.digest);
    expect(planDigest({ ...plan.binding, requester: 'other' })).not.toBe(plan.digest);
    expect(planDigest(JSON.parse(JSON.stringify(plan.binding)) as typeof plan.binding)).toBe(plan.digest);
  });
});
