import { describe, expect, it } from '@jest/globals';
import { isPlainName, ledgerFileName, safeFileName } from '../../../src/files/safe-names.js';

describe('file names made of any text', () => {
  it('are the text itself where it is plain, and never leave their directory', () => {
    expect(safeFileName('backup-1.dump_2')).toBe('backup-1.dump_2');
    for (const text of ['', '.', '..', '../x', '/etc', 'a/b', '-rf', 'a\nb', 'é', '~x', 'a'.repeat(200)]) {
      expect(safeFileName(text)).toMatch(/^~[A-Za-z0-9_-]*~[0-9a-f]{20}$/);
      expect(ledgerFileName(text)).toMatch(/^name-[0-9a-f]{64}$/);
    }
  });

  it('differ for texts that differ', () => {
    expect(safeFileName('a:b')).not.toBe(safeFileName('a;b'));
    expect(safeFileName(safeFileName('a:b'))).not.toBe(safeFileName('a:b'));
  });

  it('of the ledger stay as they are on the disks of hosts', () => {
    expect(ledgerFileName('a'.repeat(100))).toBe('a'.repeat(100));
    expect(ledgerFileName('nightly-2026-11-21T02:15:00Z')).toBe(
      'name-d3119b937bd63413f761ca17892b27fe6c1197538975ffea83f36d1ea7963a6e',
    );
  });

  it('are plain up to a length', () => {
    expect(isPlainName('abc', 3)).toBe(true);
    expect(isPlainName('abcd', 3)).toBe(false);
    expect(isPlainName('abc\n', 9)).toBe(false);
  });
});
