import { RepriseError } from '../errors.js';

/**
 * One text for one value, so that a digest of it means the value: keys sorted by UTF-16 code units, no blanks, numbers
 * and strings as ECMAScript writes them (the rules of RFC 8785). Properties that are `undefined` are left out, as
 * `JSON.stringify` does, so that an optional field that is absent and one that is undefined are the same plan.
 *
 * @throws RepriseError `internal` for what JSON cannot hold (NaN, infinities, functions, bigint, cycles).
 */
export function canonicalJson(value: unknown): string {
  return write(value, []);
}

function write(value: unknown, above: readonly object[]): string {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'number') {
    if (Number.isFinite(value)) return JSON.stringify(value);
    throw notJson(String(value));
  }
  if (typeof value !== 'object') throw notJson(typeof value);
  if (above.includes(value)) throw notJson('a cycle');
  const inside = [...above, value];
  // In an array a hole has a place, which JSON writes as null.
  if (Array.isArray(value)) return `[${value.map((item) => write(item ?? null, inside)).join(',')}]`;
  const properties = Object.entries(value)
    .filter(([, item]) => item !== undefined)
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([key, item]) => `${JSON.stringify(key)}:${write(item, inside)}`);
  return `{${properties.join(',')}}`;
}

function notJson(what: string): RepriseError {
  return new RepriseError('internal', `a value to be digested holds ${what}, which JSON cannot express`);
}
