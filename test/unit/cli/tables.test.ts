import { readFile, readdir } from 'node:fs/promises';
import { describe, expect, it } from '@jest/globals';
import { withLocalTimes } from '../../../src/domain/target/instant.js';
import { findingsText } from '../../../src/cli/terminal/findings-text.js';
import { facts, foldedTable, screenTable, wrapped } from '../../../src/cli/terminal/tables.js';

describe('what does not fit the terminal', () => {
  const rows = [['mairie:logical:mairie_full_20261121_021500', 'full', 'complete']];

  it('a table keeps one line for each row where it fits, and where there is no terminal', () => {
    expect(foldedTable(['id', 'type', 'status'], rows, 80).split('\n')).toHaveLength(2);
    expect(foldedTable(['id', 'type', 'status'], rows).split('\n')).toHaveLength(2);
  });

  it('a table that is wider puts the first column on a line of its own', () => {
    expect(foldedTable(['id', 'type', 'status'], rows, 50)).toBe(
      'ID\n  TYPE  STATUS\nmairie:logical:mairie_full_20261121_021500\n  full  complete',
    );
  });

  it('O16: a table of any command fits 80 columns, down to a line for each cell; every name and every number is there whole', () => {
    const name = (length: number) => 'n'.repeat(length);
    const tables: readonly (readonly [string[], string[][]])[] = [
      [['id', 'policy', 'size'], [[name(60), name(30), '1.2 GB']]],
      [
        ['id', 'since', 'what', 'where'],
        [[name(40), '2026-11-21T02:15:00Z', 'old data directory', `/srv/${name(60)}`]],
      ],
      [
        ['action', 'what', 'why'],
        [['update', name(50), 'times: "15 2 * * *" becomes "30 2 * * *"; the time zone too']],
      ],
      [
        ['at', 'by', 'what'],
        Array.from({ length: 5 }, () => ['2026-11-21T02:15:00Z', name(20), 'words '.repeat(60).trim()]),
      ],
      [['tool', 'state', 'pid', 'starts', 'job'], [[name(30), name(30), '1', '2', name(70)]]],
    ];
    for (const [header, rows] of tables) {
      for (const zone of [undefined, 'Europe/Paris']) {
        const text = screenTable(header, rows, { columns: 80, zone });
        expect(text.split('\n').filter((line) => line.length > 80)).toEqual([]);
        for (const word of rows.flat().flatMap((cell) => cell.split(' '))) expect(text).toContain(word);
      }
    }
  });

  it('O16: columns in which nothing is are left out before a table is folded', () => {
    const header = ['id', 'held until', 'status'];
    expect(foldedTable(header, [['x'.repeat(60), '-', 'complete']], 72)).toBe(
      `ID${' '.repeat(60)}STATUS\n${'x'.repeat(60)}  complete`,
    );
    expect(foldedTable(header, [['x', '-', 'complete']], 72)).toContain('HELD UNTIL');
  });

  it('O17: local times stand beside those in UTC where there is room, else a line says how they differ', () => {
    const rows = [['reprise/mairie/dump', '2026-07-21T23:15:00Z']];
    expect(screenTable(['schedule', 'next run'], rows, { columns: 80, zone: 'Europe/Paris' })).toContain(
      '2026-07-21T23:15:00Z (2026-07-22 01:15:00 +02:00)',
    );
    expect(screenTable(['schedule', 'next run'], rows, { columns: 50, zone: 'Europe/Paris' })).toMatch(
      /2026-07-21T23:15:00Z\n\ntimes are UTC; here it is \+0[12]:00 \(Europe\/Paris\)$/,
    );
    expect(screenTable(['schedule', 'next run'], rows, {})).not.toContain('(');
    expect(facts([['next runs', '2026-11-21T02:15:00Z, 2026-11-22T02:15:00Z']], { zone: 'Europe/Paris' })).toBe(
      'next runs  2026-11-21T02:15:00Z (03:15:00 +01:00), 2026-11-22T02:15:00Z (03:15:00 +01:00)',
    );
    // What is part of an id or of a command is no time.
    const id = 'backup/mairie/dump-2026-11-21T02:15:00Z';
    expect(facts([['id', id]], { zone: 'Europe/Paris' })).toBe(`id  ${id}`);
  });

  it('O16: no command prints a table without asking how wide the terminal is', async () => {
    const folder = new URL('../../../src/cli/', import.meta.url);
    const names = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith('.ts'));
    const plain = [];
    for (const name of names.filter((one) => one !== 'terminal/tables.ts'))
      if (/(?<![A-Za-z])(table|foldedTable)\(/.test(await readFile(new URL(name, folder), 'utf8'))) plain.push(name);
    expect(plain).toEqual([]);
  });

  it('text breaks between words; a long word stands alone', () => {
    expect(wrapped('one two three', 7)).toEqual(['one two', 'three']);
    expect(wrapped('a /very/long/path b', 5)).toEqual(['a', '/very/long/path', 'b']);
  });

  it('a finding is wrapped below its message, its fix stays in one piece, and the counts agree in number', () => {
    const message = 'every backup of mairie is on the device of its data directory';
    const fix = 'reprise backup run mairie --policy nightly-dump --type full --detach';
    const paint = (_color: string, text: string): string => text;
    const findings = [{ check: 'cluster/mairie/copies', level: 'warning', message, fix } as const];
    expect(findingsText({ paint }, findings, { columns: 50 }).split('\n')).toEqual([
      'cluster mairie',
      '  warning  every backup of mairie is on the device',
      '           of its data directory',
      `             fix: ${fix}`,
      '',
      '0 problems, 1 warning, 0 ok',
    ]);
    expect(findingsText({ paint }, findings, {})).toContain(`  warning  ${message}\n`);
  });

  it('O17: sentences of check and doctor have local times too, and what is pasted has none', () => {
    const paint = (_color: string, text: string): string => text;
    const findings = [
      {
        check: 'wal/mairie/base',
        level: 'warning' as const,
        message: 'every time from 2026-11-20T02:00:01Z to 2026-11-21T02:00:00.5Z can be recovered',
        fix: 'reprise recover mairie --to 2026-11-20T02:00:01Z',
      },
    ];
    const text = findingsText({ paint }, findings, { zone: 'Europe/Paris' });
    expect(text).toContain('from 2026-11-20T02:00:01Z (03:00:01 +01:00) to 2026-11-21T02:00:00.5Z (03:00:00 +01:00)');
    expect(text).toContain('fix: reprise recover mairie --to 2026-11-20T02:00:01Z\n');
    expect(
      withLocalTimes('until 2026-11-20T02:00Z: `reprise retarget x --to 2026-11-20T02:00:01Z`', 'Europe/Paris'),
    ).toBe('until 2026-11-20T02:00Z (03:00:00 +01:00): `reprise retarget x --to 2026-11-20T02:00:01Z`');
  });
});
