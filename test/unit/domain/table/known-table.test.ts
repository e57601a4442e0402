import { describe, expect, it } from '@jest/globals';
import type { Backup } from '../../../../src/domain/backup/backup.js';
import { isNowhere, isRecorded, recordedTables } from '../../../../src/domain/table/known-table.js';

const table = { schema: 'metier', table: 'demandes' };
const backup = (more: Partial<Backup>): Backup => ({ id: 'b', status: 'complete', ...more }) as Backup;
const counted = (name: string, database = 'mairie') => ({ database, schema: 'metier', table: name, rows: 1 });
const named = (...names: string[]): Pick<Backup, 'objects'> => ({
  objects: {
    roles: [],
    tablespaces: [],
    databases: [
      {
        ...{ database: 'mairie', extensions: [], largeObjects: { count: 0 }, sequences: [] },
        definitions: [
          { kind: 'table', count: names.length, hash: '0', each: Object.fromEntries(names.map((name) => [name, '0'])) },
        ],
      },
    ],
  },
});

describe('T3: whether a backup has a table, as far as its record says', () => {
  it.each<[string, Backup[], boolean | null]>([
    ['no backup', [], false],
    ['its rows were counted', [backup({ contents: [counted('communes'), counted('demandes')] })], true],
    ['its definition was recorded', [backup({ contents: [], ...named('metier.demandes') })], true],
    ['all tables are named, and it is not among them', [backup(named('metier.communes'))], false],
    ['only other tables were counted', [backup({ contents: [counted('communes')] })], false],
    ['of a partitioned table the partitions are counted', [backup({ contents: [counted('demandes_2026')] })], null],
    ['nothing was recorded, as of an adopted dump', [backup({ database: 'mairie' })], null],
    ['a dump of another database', [backup({ database: 'archives' })], false],
    ['one that failed has nothing', [backup({ status: 'failed' })], false],
  ])('T3: %s', (_, backups, known) => expect(isRecorded(backups, 'mairie', table)).toBe(known));

  it('T3: refused is only what is known to be nowhere', () => {
    expect(isNowhere({ production: false, backups: false })).toBe(true);
    for (const [production, backups] of [
      [null, false],
      [false, null],
      [true, false],
      [false, true],
    ] as const)
      expect(isNowhere({ production, backups })).toBe(false);
  });

  it('F35: names are read as SQL writes them', () => {
    expect(recordedTables([backup(named('"My Schema"."a""b"'))], 'mairie')).toEqual([
      { schema: 'My Schema', table: 'a"b' },
    ]);
  });
});
