import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type LockClaim, type LockKind, conflicts } from '../../../src/domain/operation/locks.js';

const kinds: readonly LockKind[] = ['backup', 'rotation', 'recovery', 'drill', 'table-repair'];
const claim = (kind: LockKind, more: Partial<LockClaim> = {}): LockClaim => ({
  kind,
  policy: 'nightly',
  engine: 'logical',
  repository: 'local',
  ...more,
});
const other = { policy: 'physical', engine: 'pgbackrest', repository: 'offsite' };
const claims = fc.record<LockClaim>({
  kind: fc.constantFrom(...kinds),
  policy: fc.constantFrom('nightly', 'hourly', 'physical'),
  engine: fc.constantFrom('logical', 'pgbackrest'),
  repository: fc.constantFrom('local', 'offsite', '*'),
});

describe('who may hold a cluster together (the table of decision 0002)', () => {
  it.each<[string, LockClaim, LockClaim, boolean]>([
    ['backup, backup of the same policy', claim('backup'), claim('backup'), true],
    ['backup, backup of the same policy elsewhere', claim('backup'), claim('backup', { repository: 'offsite' }), true],
    ['backup, backup of another engine', claim('backup'), claim('backup', other), false],
    [
      'backup, backup of another engine in the same repository',
      claim('backup'),
      claim('backup', { ...other, repository: 'local' }),
      false,
    ],
    ['backup, rotation of the same repository', claim('backup'), claim('rotation', { policy: 'hourly' }), true],
    ['backup, rotation of another engine', claim('backup'), claim('rotation', other), false],
    ['rotation, rotation', claim('rotation'), claim('rotation', other), true],
    ['recovery, backup', claim('recovery', { repository: '*' }), claim('backup', other), true],
    ['recovery, rotation', claim('recovery', { repository: '*' }), claim('rotation', other), true],
    ['recovery, recovery', claim('recovery', { repository: '*' }), claim('recovery', other), true],
    ['recovery, drill', claim('recovery', { repository: '*' }), claim('drill'), false],
    ['recovery, table repair', claim('recovery', { repository: '*' }), claim('table-repair'), true],
    ['backup, drill', claim('backup'), claim('drill'), false],
    ['backup, table repair', claim('backup'), claim('table-repair'), false],
    ['rotation, drill (it pins)', claim('rotation'), claim('drill'), false],
    ['rotation, table repair (it pins)', claim('rotation'), claim('table-repair'), false],
    ['drill, drill', claim('drill'), claim('drill'), true],
    ['drill, table repair', claim('drill'), claim('table-repair'), false],
    ['table repair, table repair', claim('table-repair'), claim('table-repair'), true],
  ])('F29: %s', (_name, one, two, excluded) => {
    expect([conflicts(one, two), conflicts(two, one)]).toEqual([excluded, excluded]);
  });

  it('is symmetric', () => {
    fc.assert(fc.property(claims, claims, (one, two) => conflicts(one, two) === conflicts(two, one)));
  });

  it('excludes the same claim twice: no two backups, rotations, recoveries, drills or repairs alike', () => {
    fc.assert(fc.property(claims, (one) => conflicts(one, one)));
  });

  it('a recovery excludes everything but a drill, whatever the engine, policy or repository', () => {
    fc.assert(
      fc.property(
        claims,
        claims,
        (one, two) => one.kind !== 'recovery' || conflicts(one, two) === (two.kind !== 'drill'),
      ),
    );
  });
});
