import { expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  databaseOf,
  encodeName,
  everyFileOf,
  filesOf,
  incomingFilesOf,
  labelOf,
} from '../../../../src/engines/logical/repository/names.js';

it('B1: a label is the database, full, and the UTC second of its start', () => {
  expect(labelOf('mairie', '2026-11-21T02:15:00.000Z')).toBe('mairie_full_20261121_021500');
  expect(labelOf('mairie', '2026-11-21T03:15:00+01:00')).toBe('mairie_full_20261121_021500');
});

it('F35: different names have different, safe labels that tell the name again', () => {
  const names = fc.string({ unit: 'binary', minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(names, names, (one, other) => {
      fc.pre([one, other].every((name) => !/\p{Cs}/u.test(name)));
      const label = labelOf(one, '2026-11-21T02:15:00Z');
      expect(label).toMatch(/^[A-Za-z0-9_%-]+$/);
      expect(databaseOf(label)).toBe(one);
      expect(encodeName(one) === encodeName(other)).toBe(one === other);
    }),
  );
});

it('F35: what a label cannot be is no label', () => {
  for (const name of ['mairie', 'mairie_full_2026', '%ZZ_full_20261121_021500', '_full_20261121_021500']) {
    expect(databaseOf(name)).toBeNull();
  }
});

it('the longest name PostgreSQL has fits into a file name, with the operation before it and the companion after it', () => {
  const place = { cluster: { name: 'c' }, policy: { name: 'p' } };
  const label = labelOf('é'.repeat(31), '2026-11-21T02:15:00Z');
  for (const key of Object.values(incomingFilesOf(place, 'backup/c/p/some-operation', label, true))) {
    expect((key.split('/').at(-1) ?? '').length).toBeLessThan(255);
  }
  expect(filesOf(place, label, false).dump).toBe(`c/p/${label}.dump`);
  expect(filesOf(place, label, true)).toEqual({
    dump: `c/p/${label}.dump.age`,
    globals: `c/p/${label}.globals.sql.age`,
    manifest: `c/p/${label}.json`,
  });
  expect(everyFileOf(place, label)).toEqual(
    [label + '.json', label + '.globals.sql', label + '.globals.sql.age', label + '.dump', label + '.dump.age'].map(
      (name) => `c/p/${name}`,
    ),
  );
});
