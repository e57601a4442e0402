import { describe, expect, it } from '@jest/globals';
import { findingsText } from '../../../src/cli/terminal/findings-text.js';
import { foldedTable, wrapped } from '../../../src/cli/terminal/tables.js';

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

  it('text breaks between words; a long word stands alone', () => {
    expect(wrapped('one two three', 7)).toEqual(['one two', 'three']);
    expect(wrapped('a /very/long/path b', 5)).toEqual(['a', '/very/long/path', 'b']);
  });

  it('a finding is wrapped below its message, its fix stays in one piece, and the counts agree in number', () => {
    const message = 'every backup of mairie is on the device of its data directory';
    const fix = 'reprise backup run mairie --policy nightly-dump --type full --detach';
    const paint = (_color: string, text: string): string => text;
    const findings = [{ check: 'cluster/mairie/copies', level: 'warning', message, fix } as const];
    expect(findingsText({ paint, outColumns: 50 }, findings).split('\n')).toEqual([
      'cluster mairie',
      '  warning  every backup of mairie is on the device',
      '           of its data directory',
      `             fix: ${fix}`,
      '',
      '0 problems, 1 warning, 0 ok',
    ]);
    expect(findingsText({ paint }, findings)).toContain(`  warning  ${message}\n`);
  });
});
