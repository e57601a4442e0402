import { describe, expect, it } from '@jest/globals';
import { unknownPollers } from '../../../src/client/checks/unknown-pollers.js';
import type { PolledQueue } from '../../../src/client/pollers.js';

const NOW = Date.parse('2026-11-29T06:00:00Z');
const worker = (name: string, since = '2026-11-29T05:00:00.000Z'): string =>
  `${name} version:0.1.0 config:0123456789ab since:${since}`;
const polled = (queue: string, host: string | null, ...identities: string[]): PolledQueue => ({
  queue,
  kind: host === null ? 'workflow' : 'activity',
  host,
  pollers: identities.map((identity) => ({ identity, seenMs: NOW })),
  seen: identities,
});
const checks = (queues: readonly PolledQueue[]): readonly string[] => unknownPollers(queues).map(({ check }) => check);

describe('U8: who polls our queues', () => {
  const ours = worker('10@db1');
  const host = (...heavy: string[]): readonly PolledQueue[] => [
    polled('reprise', null, ours),
    polled('reprise-db1', 'db1', ours),
    polled('reprise-db1-heavy', 'db1', ours, ...heavy),
  ];

  it('workers of ours are known', () => {
    expect(unknownPollers(host())).toEqual([]);
  });

  it('another program is told with its queue, and what to do', () => {
    const [found, ...others] = unknownPollers([...host('4711@laptop'), polled('reprise', null, '')]);
    expect(found).toMatchObject({
      check: 'worker/reprise-db1-heavy/pollers',
      level: 'warning',
      message: expect.stringContaining('reprise-db1-heavy is polled by 4711@laptop'),
      fix: expect.stringContaining('docs/security.md'),
    });
    expect(others).toMatchObject([{ message: expect.stringContaining('a program without a name') }]);
  });

  it('one that has taken the name of a worker polls one queue alone, where a worker polls all of its host', () => {
    expect(checks(host(worker('11@db1')))).toEqual(['worker/reprise-db1-heavy/pollers']);
    // A worker that has ended is still listed where it was seen last.
    const ended = worker('9@db1');
    const [control, light, heavy] = host() as [PolledQueue, PolledQueue, PolledQueue];
    const listed = { ...heavy, pollers: [...heavy.pollers, { identity: ended, seenMs: NOW - 60_000 }] };
    expect(unknownPollers([control, { ...light, seen: [ours, ended] }, listed])).toEqual([]);
  });

  it('a host that two machines serve is told; a worker that was replaced is not', () => {
    const both = ['reprise-db1', 'reprise-db1-heavy'].map((queue) => polled(queue, 'db1', ours, worker('7@other')));
    expect(unknownPollers(both)).toMatchObject([
      { check: 'host/db1/machines', message: expect.stringContaining('2 machines: db1, other') },
    ]);
    const later = worker('7@other', new Date(NOW + 1_000).toISOString());
    expect(unknownPollers([polled('reprise-db1', 'db1', ours, later)])).toEqual([]);
  });
});
