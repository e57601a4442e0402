import { expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  newDatabaseName,
  oldDatabaseName,
  oldDataDirectory,
  salvageDir,
} from '../../../src/domain/plan/recovery-place.js';
import { slotName } from '../../../src/engines/basebackup/wal/slot.js';

const operationId = '20261121t021500-7f3a';

it('G2, F55: names that are not cut stay as they were: old data of earlier versions is found under them', () => {
  expect(oldDatabaseName('mairie', operationId)).toBe('mairie_aside_20261121t021500-7f3a');
  expect(newDatabaseName('mairie', operationId)).toBe('mairie_new_20261121t021500-7f3a');
  expect(oldDataDirectory('/srv/main', operationId)).toBe('/srv/main.aside-20261121t021500-7f3a');
});

it('G2, F55: databases whose names share their beginning get names of their own, within 63 bytes, and so do operations', () => {
  const shared = 'x'.repeat(36);
  expect(newDatabaseName(`${shared}_one_with_a_long_name`, operationId)).not.toBe(
    newDatabaseName(`${shared}_two_with_a_long_name`, operationId),
  );
  const name = fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 63 })
    .filter((text) => Buffer.byteLength(text) <= 63);
  fc.assert(
    fc.property(
      fc.uniqueArray(name, { minLength: 2, maxLength: 5 }),
      fc.string({ minLength: 1 }),
      (databases, tail) => {
        const databasesShared = [...databases, ...databases.map((one) => `${'y'.repeat(30)}${one}`.slice(0, 60))];
        const unique = [...new Set(databasesShared.filter((one) => Buffer.byteLength(one) <= 63))];
        for (const operation of [operationId, `${operationId}${tail}`, tail]) {
          const derived = unique.flatMap((one) => [newDatabaseName(one, operation), oldDatabaseName(one, operation)]);
          expect(new Set(derived).size).toBe(derived.length);
          for (const one of derived) expect(Buffer.byteLength(one)).toBeLessThanOrEqual(63);
        }
      },
    ),
  );
  const long = 'an operation whose id somebody else has made up, number';
  for (const placeOf of [oldDataDirectory, salvageDir]) {
    expect(placeOf('/srv/main', `${long} 1`)).not.toBe(placeOf('/srv/main', `${long} 2`));
    expect(placeOf('/srv/main', `1 ${long}`)).not.toBe(placeOf('/srv/main', `2 ${long}`));
    expect(placeOf('/srv/main', 'a b')).not.toBe(placeOf('/srv/main', 'a/b'));
    expect(placeOf('/srv/main', `../${long}`)).toMatch(/^\/srv\/main\.[a-z]+-[A-Za-z0-9-]+$/);
  }
});

it('G2, F55: replication slots of policies with long names are different', () => {
  const slotOf = (policy: string): string =>
    slotName({ cluster: { name: 'mairie' }, policy: { name: policy, options: {} } } as never);
  expect(slotOf('base')).toBe('reprise_mairie_base');
  const [one, two] = [slotOf(`${'p'.repeat(60)}1`), slotOf(`${'p'.repeat(60)}2`)];
  expect(one).not.toBe(two);
  expect([one?.length, two?.length]).toEqual([63, 63]);
});
