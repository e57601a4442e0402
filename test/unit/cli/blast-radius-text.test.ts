import { describe, expect, it } from '@jest/globals';
import { type BlastRadiusView, blastRadiusText } from '../../../src/cli/terminal/blast-radius-text.js';
import { type BlastRadius, waysBack } from '../../../src/domain/table/blast-radius.js';
import { golden } from '../../helpers/golden.js';

const since = (transactions: number, inserted: number, updated: number, deleted: number) => ({
  ...{ transactions, inserted, updated, deleted },
});
const counts = { inserted: 0, updated: 0, deleted: 0 };
const found: BlastRadius = {
  ...{ database: 'mairie', table: { schema: 'metier', table: 'demandes_rdv' }, xid: '8412', exact: true },
  committedAt: '2026-11-21T07:58:11.123Z',
  transaction: {
    ...{ xid: '8412', committedAt: '2026-11-21T07:58:11.123456Z', lsn: '0/2A81F40', ...counts, deleted: 30_004 },
    tables: [
      { database: 'mairie', schema: 'metier', table: 'demandes_rdv', number: 16_400, ...counts, deleted: 30_000 },
      {
        database: 'mairie',
        schema: 'metier',
        table: 'a table with a long name\u001b[31m',
        number: 16_410,
        ...counts,
        deleted: 4,
      },
    ],
    actions: [{ action: 'truncated', database: 'mairie', schema: 'metier', table: 'agents', number: 16_420 }],
  },
  later: {
    ...{ followed: 6, rows: 3, more: 2, atLeast: false, missing: [] },
    transactions: [
      { xid: '8500', committedAt: '2026-11-21T08:01:00.000001Z', lsn: '0/2B00000', rows: 2 },
      { xid: '8501', committedAt: '2026-11-21T08:02:00.000001Z', lsn: '0/2B00100', rows: 1 },
    ],
    ...{ table: since(41, 80, 40, 0), database: since(812, 40_000, 300, 12) },
  },
  undo: {
    changes: { insert: 29_990, update: 3, delete: 0, conflicts: 11 },
    reasons: { 'changed-since': 11 },
    because: null,
  },
  references: [{ table: { schema: 'metier', table: 'pieces' }, columns: ['demande'], onDelete: 'c', rows: 2 }],
  notes: ['the WAL from 0/2C00000 on is not archived yet: what committed there is not counted'],
};
const viewOf = (of: BlastRadius, shown = true): BlastRadiusView => ({
  ...{ ...of, cluster: 'mairie', ways: waysBack('mairie', of), key: shown ? ['id'] : [] },
  conflicts: shown ? [{ did: 'updated', key: ['4711'], conflict: 'changed-since' }] : [],
  samples: shown ? [{ did: 'deleted', key: ['12'], conflict: null }] : [],
  file: { host: 'db1', path: '/srv/reprise/compared/1.json', until: '2026-11-28T08:00:00.000Z', shown },
});

describe('M3: what people read of a blast radius', () => {
  it('M3: a table to decide on within 80 columns, with commands that can be copied', async () => {
    const text = blastRadiusText(viewOf(found), { columns: 80 });
    expect(text).toBe(await golden(new URL('blast-radius-text.golden.txt', import.meta.url), text));
    const isCommand = (line: string): boolean => /^\d {2}reprise /.test(line);
    for (const line of text.split('\n').filter((one) => !isCommand(one))) expect(line.length).toBeLessThanOrEqual(80);
    expect(text).not.toContain('\u001b');
  });

  it('M3: keys are shown to whoever may read them, and undoing is no way where the table is another one now', () => {
    expect(blastRadiusText(viewOf(found, false), {})).toContain('The 11 conflicts can be seen on host db1 alone');
    const changed: BlastRadius = {
      ...found,
      undo: { changes: null, reasons: {}, because: 'there is no table metier.demandes_rdv' },
      references: null,
    };
    expect(blastRadiusText(viewOf(changed), {})).toContain('not known: there is no table metier.demandes_rdv');
  });

  it('M3: commands name what has to be quoted as a shell reads it, and the policy that was asked for', () => {
    const named: BlastRadius = { ...found, database: "l'eau", table: { schema: 'S', table: 't' }, transaction: null };
    expect(waysBack('mairie', named, 'physical').map(({ command }) => command)).toEqual([
      `reprise table repair mairie 'l'\\''eau' '"S".t' --xid 8412 --policy physical`,
      `reprise table repair mairie 'l'\\''eau' '"S".t' --to before-xid:8412 --strategy replace --policy physical`,
      `reprise recover mairie --database 'l'\\''eau' --to before-xid:8412 --policy physical`,
    ]);
  });
});
