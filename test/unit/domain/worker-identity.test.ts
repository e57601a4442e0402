import { expect, it } from '@jest/globals';
import { formatIdentity, parseIdentity } from '../../../src/domain/operation/worker-identity.js';

it('D7: a worker names itself so that its configuration can be read from the pollers; other names tell none', () => {
  const identity = {
    worker: '4711@db1.example.org',
    version: '0.2.0',
    config: '0123456789ab',
    since: '2026-11-21T02:15:00.123Z',
  };
  expect(formatIdentity(identity)).toBe(
    '4711@db1.example.org version:0.2.0 config:0123456789ab since:2026-11-21T02:15:00.123Z',
  );
  expect(parseIdentity(formatIdentity(identity))).toEqual(identity);
  // A worker of an older version still says its configuration.
  expect(parseIdentity('1@db1 config:0123456789ab since:2026-11-21T02:15:00Z')).toMatchObject({ version: null });
  for (const other of [
    '4711@db1',
    '',
    'temporal-system-worker',
    '1@db1 config:short since:2026-11-21T02:15:00Z',
    '1@db1 config:0123456789ab since:yesterday',
  ])
    expect(parseIdentity(other)).toBeNull();
});
