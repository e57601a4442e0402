import { expect, it } from '@jest/globals';
import { withParents } from '../../../../src/engines/basebackup/repository/list.js';
import type { ListedBackup } from '../../../../src/engines/engine.js';

const listed = (label: string, more: Partial<ListedBackup> = {}): ListedBackup =>
  ({ label, type: 'full', startedAt: '', finishedAt: '', sizeBytes: 1, ...more }) as ListedBackup;

it('F16: an incremental backup is damaged where one it rests on is missing or damaged', () => {
  const second = listed('incr_2', { dependsOn: ['incr_1', 'full'] });
  const first = listed('incr_1', { dependsOn: ['full'] });
  expect(withParents([listed('full'), first, second])).toEqual([listed('full'), first, second]);
  const lost = { damaged: expect.stringContaining('incr_1') as unknown };
  expect(withParents([listed('full'), second])[1]).toMatchObject(lost);
  expect(withParents([listed('full', { damaged: 'base.tar.gz is missing' }), first])[1]).toMatchObject({
    damaged: expect.stringContaining('full, on which it depends') as unknown,
  });
});
