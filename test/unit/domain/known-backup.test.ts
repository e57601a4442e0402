import { expect, test } from '@jest/globals';
import type { Backup } from '../../../src/domain/backup/backup.js';
import { knownBackup } from '../../../src/domain/plan/choose-source.js';

const backups = ['one', 'two'].map((label) => ({ id: `mairie:pgbackrest:${label}`, label }) as Backup);
const asked = (id: string, among = backups) => knownBackup({ kind: 'backup', id }, 'mairie', among);

test('M1: a backup is known by its id, or by a label that one backup has; another name is told as such', () => {
  expect(asked('mairie:pgbackrest:two')).toEqual({ kind: 'backup', id: 'mairie:pgbackrest:two' });
  expect(asked('two')).toEqual({ kind: 'backup', id: 'mairie:pgbackrest:two' });
  expect(knownBackup({ kind: 'latest' }, 'mairie', [])).toEqual({ kind: 'latest' });
  const refused = { code: 'not-found', hint: 'name one by its whole id: reprise backup list mairie' };
  expect(() => asked('three')).toThrow(
    expect.objectContaining({ ...refused, message: 'there is no backup three of mairie' }),
  );
  const twice = [...backups, { id: 'mairie:walg:two', label: 'two' } as Backup];
  expect(() => asked('two', twice)).toThrow(expect.objectContaining(refused));
});
