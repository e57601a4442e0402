import { expect, it } from '@jest/globals';
import { consistentFrom } from '../../../src/domain/target/consistent-from.js';
import { walFindings } from '../../../src/domain/backup/wal-findings.js';

const window = { policy: 'base', oldest: '2026-11-20T02:00:00Z', newest: '2026-11-21T02:00:00Z', hole: null };
const now = new Date('2026-11-21T05:00:00Z');
const promised = { name: 'mairie', objectives: { rpoSeconds: 300 } };
const found = (waitingSince?: string, cluster: Parameters<typeof walFindings>[0] = promised) =>
  walFindings(cluster, [{ ...window, ...(waitingSince === undefined ? {} : { waitingSince }) }], now)[0];

it('F12: commits that wait for longer than the promised rpo are a warning; an idle server, however old its archive, is none', () => {
  expect(found()).toMatchObject({ level: 'ok' });
  expect(found('2026-11-21T04:56:00Z')).toMatchObject({ level: 'ok' });
  expect(found('2026-11-21T02:00:01Z')).toMatchObject({
    level: 'warning',
    message: expect.stringContaining('more than its rpo of 5 min') as unknown,
    fix: expect.stringContaining('reprise status archive/mairie/base') as unknown,
  });
  expect(found('2026-11-21T02:00:01Z', { name: 'mairie', objectives: {} })).toMatchObject({ level: 'ok' });
});

it('W12: where all backups are of another cluster than the one in data_dir, check says that it has none', () => {
  const none = { policy: 'base', oldest: null, newest: null, hole: null };
  expect(walFindings(promised, [{ ...none, ofOtherCluster: 2 }], now)[0]).toMatchObject({
    level: 'problem',
    message: expect.stringContaining('in data_dir now: 2 are of another system identifier') as unknown,
    fix: expect.stringContaining('reprise backup run mairie --policy base') as unknown,
  });
});

it('O16: without a commit since the backup there is one time and no range that ends before it begins', () => {
  const [idle] = walFindings(promised, [{ ...window, newest: '2026-11-20T01:59:59Z' }], now);
  expect(idle?.message).toContain('2026-11-20T02:00:00Z, the end of the oldest backup, can be recovered');
  expect(idle?.message).not.toContain(' from ');
  const [within] = walFindings(promised, [{ ...window, newest: '2026-11-20T02:00:00.700Z' }], now);
  expect(within?.message).not.toContain(' from ');
});

it('O16: the first time of the range is the first that --to takes: engines round the end of a backup down to a second', () => {
  const [range] = walFindings(promised, [window], now);
  expect(range?.message).toContain('every time from 2026-11-20T02:00:01Z to 2026-11-21T02:00:00Z');
  const [fraction] = walFindings(promised, [{ ...window, oldest: '2026-11-20T02:00:00.700Z' }], now);
  expect(fraction?.message).toContain('every time from 2026-11-20T02:00:01Z');
  expect(consistentFrom('2026-11-20T02:00:00.700Z')).toBe('2026-11-20T02:00:01Z');
});
