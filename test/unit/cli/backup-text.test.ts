import { expect, test } from '@jest/globals';
import { backupCommand, backupTable } from '../../../src/cli/terminal/backup-text.js';
import { besideOrBelow } from '../../../src/cli/terminal/tables.js';
import type { Config } from '../../../src/domain/config.js';

const cli = { command: (...words: readonly string[]): string => ['reprise', ...words].join(' ') };
const policies = (...names: readonly string[]): Record<string, unknown> =>
  Object.fromEntries(names.map((name) => [name, { name, enabled: name !== 'off' }]));
const clusters = {
  mairie: { name: 'mairie', policies: policies('nightly', 'physical') },
  ecole: { name: 'ecole', policies: policies('off', 'dump') },
} as unknown as Config['clusters'];

test('O16: where there is no backup, what to type names the cluster and, of several, a policy', () => {
  const take = (named?: string): string => backupTable([], {}, backupCommand(cli, { clusters }, named));
  expect(take()).toContain('`reprise backup run mairie --policy nightly`');
  expect(take('mairie')).toContain('`reprise backup run mairie --policy nightly`');
  expect(take('ecole')).toContain('`reprise backup run ecole`');
});

test('O16: a link that is too long for the terminal has its own line, so that it is copied whole', () => {
  const link = `http://127.0.0.1:8233/${'x'.repeat(60)}`;
  expect(besideOrBelow('recover/mairie/1', '  ', link)).toBe(`recover/mairie/1  ${link}`);
  expect(besideOrBelow('recover/mairie/1', '  ', link, 200)).toBe(`recover/mairie/1  ${link}`);
  expect(besideOrBelow('recover/mairie/1', '  ', link, 80)).toBe(`recover/mairie/1\n${link}`);
});
