import { describe, expect, it } from '@jest/globals';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { csvCell } from '../../../src/domain/text/csv.js';
import { writeChangesCsv } from '../../../src/postgres/repair/change-set-csv.js';
import { withChangeSet, writeChangeSet } from '../../../src/postgres/repair/change-set-file.js';
import type { RepairReportInput } from '../../../src/reports/repair/model.js';
import { repairReport } from '../../../src/reports/repair/report.js';
import { golden } from '../../helpers/golden.js';
import { hostileRepair, sampleRepair } from '../../helpers/repair-sample.js';

const markdownOf = (more: Partial<RepairReportInput> = {}): string =>
  repairReport({ ...sampleRepair, ...more }, 'en').markdown;
const outcomeOf = (more: Partial<RepairReportInput['outcome']>) => ({ outcome: { ...sampleRepair.outcome, ...more } });

describe('T8: the report of a repair', () => {
  it('T8: names cause, transaction, times, rows, and what is to be done next', async () => {
    expect(markdownOf()).toBe(await golden(new URL('golden/repair.md', import.meta.url), markdownOf()));
  });

  it('T8: says so where no cause was entered, nobody signed, and what is missing for next time, with the command', () => {
    const { signOff: _, watchSeconds: _watch, ...binding } = sampleRepair.plan.binding;
    const bare = markdownOf({
      plan: { ...sampleRepair.plan, binding: { ...binding, freeze: null, hooks: [] } },
      outcome: { ...sampleRepair.outcome, frozenAt: undefined, openedAt: undefined, signOff: undefined } as never,
      ...{ incident: null, hasInvariants: false },
    });
    for (const sentence of ['not entered yet', 'Write down the probable cause', 'freeze: { by: trigger }', 'sign_off:'])
      expect(bare).toContain(sentence);
    for (const key of ['watch_after: 2h', 'invariants:', 'reprise backup run mairie']) expect(bare).toContain(key);
    expect(markdownOf(outcomeOf({ signOff: null }))).toContain('Nobody signed the repair off in time');
    expect(markdownOf({ ...outcomeOf({ signOff: null }), isOver: false })).toContain('waits for the sign-off of qa');
    const failed = markdownOf(
      outcomeOf({ signOff: { verdict: 'fail', by: 'qa', at: '2026-11-21T05:00:00Z', remarks: null } }),
    );
    expect(failed).toContain('**signed off as failed**');
    expect(failed).toContain('reprise table undo mairie mairie metier.demandes_rdv --repair 20261121-041000-a1b2c3');
  });

  it('F39, T8: names and texts of others stay text', () => {
    const { markdown, html } = repairReport(hostileRepair, 'en');
    // In a block of code everything is text.
    const outside = markdown.replaceAll(/```sh\n[^`]*```|`[^`\n]*`/g, '');
    for (const text of [outside, html]) expect(text).not.toMatch(/(?<!\\)<script|\u202e/);
    expect(markdown).not.toContain('\u202e');
    expect(markdown).toContain("reprise table undo mairie '<script>alert(1)</script> | [x]");
    expect(outside).not.toMatch(/(?<!\\)\[x\]\(javascript/);
    expect(html).not.toMatch(/href="javascript/);
  });
});

describe('T8: the rows of a repair for a spreadsheet', () => {
  it.each([
    [null, ''],
    ['', '""'],
    ['plain', 'plain'],
    ['a,b', '"a,b"'],
    ['say "x"', '"say ""x"""'],
    ['two\nlines', '"two\nlines"'],
    ['=1+1', "'=1+1"],
    ['+cmd|x', "'+cmd|x"],
    ['@SUM(A1)', "'@SUM(A1)"],
    ['-2+3', "'-2+3"],
    ['  =1+1', "'  =1+1"],
    ['\t=1', "'\t=1"],
    ['＝1+1', "'＝1+1"],
    ['=HYPERLINK("http://x","y")', `"'=HYPERLINK(""http://x"",""y"")"`],
    ['-12.5', '-12.5'],
    ['+1e-9', '+1e-9'],
    ['-', "'-"],
  ])('T8: the cell %j is %j', (value, cell) => {
    expect(csvCell(value)).toBe(cell);
  });

  it('T8: each change and conflict with its key, before and after; its owner alone reads it', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'rows-'));
    try {
      const set = join(directory, 'changes.jsonl');
      const header = {
        ...{ database: 'd', table: { schema: 's', table: 't' } },
        ...{ columns: ['id', 'motif, "x"'], key: ['id'] },
      };
      const digest = await writeChangeSet(
        set,
        header,
        [
          { op: 'insert', after: ['1', '=evil()'] },
          { op: 'update', before: ['2', null], after: ['2', ''] },
          { op: 'delete', before: ['3', 'gone'] },
          { op: 'conflict', reason: 'changed-since', key: ['4'], good: ['4', 'g'], bad: ['4', 'b'], now: ['4', 'n'] },
          { op: 'delete', before: ['5', 'stays'] },
        ],
        null,
      );
      const file = join(directory, 'rows.csv');
      await withChangeSet(set, digest, (changes) => writeChangesCsv(file, changes, new Set([3]), null));
      expect(await readFile(file, 'utf8')).toBe(
        [
          'op,reason,key,before: id,after: id,"before: motif, ""x""","after: motif, ""x"""',
          `put back,,1,,1,,'=evil()`,
          'corrected,,2,2,2,,""',
          'deleted,,3,3,,gone,',
          'conflict,changed-since,4,4,4,n,g',
          'left out,changed-since,5,5,,stays,',
          '',
        ].join('\r\n'),
      );
      expect((await stat(file)).mode & 0o777).toBe(0o600);
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});
