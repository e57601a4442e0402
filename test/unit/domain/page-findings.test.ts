import { expect, test } from '@jest/globals';
import { pageFindings } from '../../../src/domain/backup/freshness.js';
import type { Backup } from '../../../src/domain/backup/backup.js';

const cluster = { name: 'mairie', policies: { physical: {}, dump: {} } } as unknown as Parameters<
  typeof pageFindings
>[0];
const backup = (more: Partial<Backup>): Backup => ({ id: 'b', policy: 'physical', ...more }) as Backup;

test('W14: damaged pages are a problem of check: where they made a backup fail, and where the newest backup holds them', () => {
  const failure = { cluster: 'mairie', policy: 'physical', at: '2026-11-21T02:15:00Z', reason: 'base/5/16388 page 0' };
  expect(pageFindings(cluster, [], [failure])).toMatchObject([
    { check: 'pages/mairie/physical', level: 'problem', message: expect.stringContaining('base/5/16388 page 0') },
  ]);
  const marked = backup({ pageErrors: ['base/5/16388 page 0'] });
  expect(pageFindings(cluster, [marked], [])).toMatchObject([{ level: 'problem' }]);
  expect(pageFindings(cluster, [marked, backup({ id: 'c' })], [])).toEqual([]);
});
