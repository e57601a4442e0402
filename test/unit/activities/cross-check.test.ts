import { expect, it } from '@jest/globals';
import { compareTwo, type Restored } from '../../../src/activities/drill/cross-check.js';
import type { CheckConfig } from '../../../src/domain/config.js';
import type { TableContent } from '../../../src/domain/drill/content.js';
import { checksOf } from '../../../src/domain/drill/drill-checks.js';

const table = (name: string, hash: string, more: Partial<TableContent> = {}): TableContent => ({
  ...{ database: 'mairie', schema: 'metier', table: name, rows: 3, hash },
  ...more,
});

function restored(policy: string, lastLsn: string | null, content: readonly TableContent[]): Restored {
  const isDump = policy === 'dump';
  return {
    planned: {
      ...{ policy, method: isDump ? 'databases' : 'data-directory' },
      backups: isDump ? [{ id: 'x', database: 'mairie' }] : [{ id: 'y', database: null }],
    },
    reached: { lastLsn },
    content,
  } as unknown as Restored;
}

const content = [table('rdv', '1'), table('communes', '2'), table('scrap', '0', { unlogged: true })];

it('V1: two engines at one position have to hold the same rows; which tables differ is named', () => {
  const base = restored('physical', '0/5000060', content);
  expect(compareTwo(base, restored('walg', '0/5000060', content))).toMatchObject({
    status: 'passed',
    detail: 'physical and walg hold the same rows in 2 tables',
  });
  const other = [table('rdv', '9'), table('extra', '4'), table('scrap', '7', { unlogged: true })];
  expect(compareTwo(base, restored('walg', '0/5000060', other))).toMatchObject({
    status: 'failed',
    detail:
      'physical and walg, both at 0/5000060, differ in 3 of 3 tables: mairie: metier.rdv (3 and 3 rows); mairie: metier.communes is in one only; mairie: metier.extra is in one only',
    hint: expect.stringContaining('reprise backup verify'),
  });
});

it('V1: what was not at one position, or not read, is not compared, and of a dump nobody knows why tables differ', () => {
  const base = restored('physical', '0/5000060', content);
  expect(compareTwo(base, restored('walg', '0/5000100', content))).toMatchObject({ status: 'skipped' });
  expect(compareTwo(base, { ...restored('walg', '0/5000060', []), content: null })).toMatchObject({
    status: 'skipped',
  });
  expect(compareTwo(base, restored('dump', null, content))).toMatchObject({ status: 'passed' });
  const elsewhere = table('only', '1', { database: 'other' });
  expect(
    compareTwo(restored('physical', '0/5000060', [...content, elsewhere]), restored('dump', null, content)),
  ).toMatchObject({
    status: 'passed',
  });
  expect(compareTwo(base, restored('dump', null, [table('rdv', '1'), table('communes', '5')]))).toMatchObject({
    status: 'skipped',
    detail: expect.stringMatching(/same rows in 1 tables; 1 differ, .* was not tested: mairie: metier\.communes/),
  });
});

it('K4: a configured check takes the place of the one that every drill runs, and one that is switched off is not run', () => {
  const check = (name: string, type: string, more: Partial<CheckConfig> = {}): CheckConfig => ({
    name,
    type,
    options: {},
    ...more,
  });
  const every = [check('row-counts', 'row-counts'), check('amcheck', 'amcheck'), check('dump-again', 'dump-again')];
  const configured = [
    check('rows', 'row-counts', { options: { except: ['a.b'] } }),
    check('off', 'dump-again', { enabled: false }),
    check('site', 'http'),
  ];
  expect(checksOf(configured, every).map(({ name }) => name)).toEqual(['amcheck', 'rows', 'site']);
});
