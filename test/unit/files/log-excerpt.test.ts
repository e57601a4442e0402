import { symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import { logExcerpt, textExcerpt } from '../../../src/files/log-excerpt.js';
import { tempDir } from '../../helpers/temp.js';

it('V4, F39: a log for the evidence is cut to 64 kB, says so, and shows no secret and no row, also where it is cut', async () => {
  const log = join(await tempDir('log'), 'tool.log');
  expect(await logExcerpt(log)).toBe('');
  await writeFile(log, 'restored\npassword=correct-horse\n\u001b[31mred\u001b[0m\n');
  expect(await logExcerpt(log)).toBe('restored\npassword=***\n<U+001B>[31mred<U+001B>[0m');
  const filler = `${'x'.repeat(99)}\n`;
  // The value begins in what is only read, and ends in what is shown.
  const value = `DETAIL:  Failing row contains (1, ${'Jeanne\n'.repeat(300)}).\n`;
  const end = filler.repeat(560);
  const long = `first line\n${filler.repeat(4000)}${value}${end}last line\n`;
  await writeFile(log, long);
  for (const kept of [await logExcerpt(log), textExcerpt(long)]) {
    expect(kept.length).toBeLessThan(65 * 1024);
    expect(kept).toMatch(/^first line\n/);
    expect(kept).toMatch(/\n\(\d+ kB are left out here\)\n/);
    expect(kept).toMatch(/\nlast line$/);
    expect(kept).not.toContain('Jeanne');
  }
  await symlink(log, `${log}.link`);
  expect(await logExcerpt(`${log}.link`)).toBe('');
});
