import { describe, expect, it } from '@jest/globals';
import { largeObjectCounts } from '../../../src/domain/backup/large-objects.js';
import {
  compareDefinitions,
  compareSequences,
  type DatabaseObjects,
  missingNames,
  withinRecord,
} from '../../../src/domain/backup/recorded-objects.js';

const database = (more: Partial<DatabaseObjects> = {}): DatabaseObjects => ({
  ...{ database: 'mairie', extensions: [], largeObjects: { count: 0 }, sequences: [], definitions: [] },
  ...more,
});
const defined = (kind: string, each: Record<string, string>, hash = Object.values(each).join('')) =>
  database({ definitions: [{ kind, count: Object.keys(each).length, hash, each }] });

describe('F22: what was recorded besides rows is compared with what came back', () => {
  it('definitions by name, where both sides name them; else by kind', () => {
    const before = defined('function', { 'a()': '1', 'b()': '2' });
    expect(compareDefinitions(before, before)).toEqual([]);
    expect(
      compareDefinitions(before, defined('function', { 'b()': '3', 'c\n()': '4' })).map(({ text }) => text),
    ).toEqual([
      'function a() is missing',
      'function b() has another definition, owner or rights than recorded',
      'function c () was not recorded',
    ]);
    const unnamed = database({ definitions: [{ kind: 'function', count: 900, hash: '7' }] });
    expect(compareDefinitions(unnamed, before)).toEqual([
      { name: null, text: 'definitions of kind function differ (900 were recorded, 2 are there)' },
    ]);
  });

  it('a kind of which nothing is left, and one of which nothing was', () => {
    expect(compareDefinitions(defined('view', { v: '1' }), database())[0]?.text).toBe('view v is missing');
    expect(compareDefinitions(database(), defined('view', { v: '1' }))[0]?.text).toBe('view v was not recorded');
  });

  it('sequences may have gone on, and may not have gone back', () => {
    const at = (last: string | null) => database({ sequences: [{ name: 'numero', last }] });
    expect(compareSequences(at('9'), at('10'))).toEqual([]);
    expect(compareSequences(at(null), at(null))).toEqual([]);
    expect(compareSequences(at('10'), at('9'))[0]?.text).toBe('sequence numero is at 9, and was at 10');
    expect(compareSequences(at('10'), at(null))[0]?.text).toBe('sequence numero is at its start, and was at 10');
    expect(compareSequences(at('10'), database())[0]?.text).toBe('sequence numero is missing');
  });

  it('names that are gone', () => {
    expect(missingNames('role', ['a', 'b'], ['b', 'c'])).toEqual([{ name: 'a', text: 'role a is missing' }]);
  });

  it('large objects are counted like the rows of a table, with a hash where there is one', () => {
    const objects = (largeObjects: DatabaseObjects['largeObjects']) => ({
      ...{ roles: [], tablespaces: [] },
      databases: [database({ largeObjects })],
    });
    const line = { database: 'mairie', schema: 'pg_catalog', table: 'pg_largeobject', rows: 2 };
    expect(largeObjectCounts(objects({ count: 2 }))).toEqual([line]);
    expect(largeObjectCounts(objects({ count: 2, hash: '7' }))).toEqual([{ ...line, hash: '7' }]);
    expect(largeObjectCounts(objects({ count: 0 }))).toEqual([]);
    expect(largeObjectCounts(undefined)).toEqual([]);
  });

  it('F40: a record names objects one by one only as far as it has room', () => {
    const many = Object.fromEntries(
      Array.from({ length: 600 }, (_, n) => [`schema.function_of_a_long_name_${n}()`, '0123abcd']),
    );
    const [few, one] = [defined('trigger', { t: '1' }), defined('function', many, '7')];
    const databases = [few, one, one, few];
    const { databases: kept } = withinRecord({ roles: [], tablespaces: [], databases });
    expect(kept.map(({ definitions }) => definitions[0]?.each !== undefined)).toEqual([true, true, false, true]);
    expect(kept[2]?.definitions[0]).toEqual({ kind: 'function', count: 600, hash: '7' });
    expect(Buffer.byteLength(JSON.stringify(kept, null, 1))).toBeLessThan(64 * 1024);
  });
});
