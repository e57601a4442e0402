import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';

const root = join(import.meta.dirname, '../../..');

it('each line of who is trusted with what has its tests, and each code in it is named by one of them', async () => {
  const page = await readFile(join(root, 'docs/security.md'), 'utf8');
  const section = page.split('\n## ').find((text) => text.startsWith('Who is trusted with what')) ?? '';
  const rows = section.split('\n').filter((line) => /^\| (?!who \||---)/.test(line));
  expect(rows.length).toBeGreaterThan(5);
  const missing: string[] = [];
  for (const row of rows) {
    const files = [...row.matchAll(/\]\(\.\.\/(test\/[^)]+)\)/g)].map(([, file = '']) => file);
    const tests = (await Promise.all(files.map((file) => readFile(join(root, file), 'utf8')))).join('\n');
    const codes = [...row.matchAll(/\b[A-Z]\d{1,2}\b/g)].map(([code]) => code);
    if (codes.length === 0 || files.length === 0) missing.push(row);
    for (const code of codes) if (!new RegExp(`['\`(\\s]${code}[,: )]`).test(tests)) missing.push(`${code} in ${row}`);
  }
  expect(missing).toEqual([]);
});
