import { describe, expect, it } from '@jest/globals';
import { ofLatest } from '../../../src/activities/temporary/instance-source.js';
import { RepriseError } from '../../../src/domain/errors.js';
import type { RecoveryOutline } from '../../../src/domain/plan/recovery-observations.js';
import type { RecoveryTarget } from '../../../src/domain/target/target.js';

/** Newest first, each with the position at which it ended and the instant from which it can be recovered. */
const backups = [
  { id: 'new', stop: '0/5000028', from: '2026-01-02T00:00:01Z' },
  { id: 'old', stop: '0/2000028', from: '2026-01-01T00:00:01Z' },
];

/** An archive whose last commit is there. */
const source = (lastCommitLsn: string | undefined) => ({
  async outline(target: RecoveryTarget, _timeline?: unknown, only?: readonly string[]): Promise<RecoveryOutline> {
    const may = backups.filter(({ id }) => only?.includes(id) ?? true);
    const chosen = target.kind === 'lsn' ? may.find(({ stop }) => stop <= target.lsn) : may[0];
    if (chosen === undefined) throw new RepriseError('target-before-backup', 'too early');
    const reachableFrom = may.at(-1)?.from ?? null;
    return { target, backups: [chosen], lastCommitLsn, reachableFrom } as unknown as RecoveryOutline;
  },
});
const reachableFrom = backups[1]?.from;

describe('P4, M1: the newest state', () => {
  it('P4, M1: is of the newest backup, also where the last commit in its WAL is before its end', async () => {
    expect(await ofLatest(source('0/4FFFFF0'))).toMatchObject({
      ...{ backups: [{ id: 'new' }], target: { kind: 'end-of-backup' }, reachableFrom },
    });
  });

  it('M1: is at the last commit after it, in whichever second that was, and at its end where nothing was committed', async () => {
    const lsn = '0/5000060';
    expect(await ofLatest(source(lsn))).toMatchObject({
      ...{ backups: [{ id: 'new' }], target: { kind: 'lsn', lsn }, reachableFrom },
    });
    expect(await ofLatest(source(undefined))).toMatchObject({
      ...{ backups: [{ id: 'new' }], target: { kind: 'end-of-backup' } },
    });
  });
});
