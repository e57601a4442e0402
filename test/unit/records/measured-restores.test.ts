import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import type { MeasuredRestore } from '../../../src/domain/plan/predict-duration.js';
import { openMeasuredRestores } from '../../../src/records/measured-restores.js';
import { tempDir } from '../../helpers/temp.js';

it('P4: what restores took is kept by engine, once each, the newest of them, and a damaged file hides no other', async () => {
  const stateDir = await tempDir('state');
  const measured = openMeasuredRestores(stateDir);
  const of = (number: number, more: Partial<MeasuredRestore> = {}): MeasuredRestore => ({
    ...{ id: `20260405t02000${number}/physical`, engine: 'pgbackrest', method: 'data-directory' },
    at: new Date(1_775_000_000_000 + number * 1000).toISOString(),
    ...{ sizeBytes: 1e9, walBytes: null, restoreSeconds: number, replaySeconds: 1, otherSeconds: null },
    ...more,
  });
  expect(await measured.list('pgbackrest')).toEqual([]);
  for (let number = 1; number <= 45; number++) await measured.add(of(number));
  await measured.add(of(45, { restoreSeconds: 99 }));
  await measured.add(of(1, { engine: 'logical', method: 'databases' }));
  await writeFile(join(stateDir, 'measured', 'pgbackrest', 'x.json'), 'no JSON');
  const kept = await measured.list('pgbackrest');
  expect(kept.map(({ restoreSeconds }) => restoreSeconds)).toEqual([
    ...Array.from({ length: 39 }, (_, index) => index + 6),
    99,
  ]);
  expect(await measured.list('logical')).toHaveLength(1);
  expect(await readdir(join(stateDir, 'measured'))).toEqual(['logical', 'pgbackrest']);
});
