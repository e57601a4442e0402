import { expect, it } from '@jest/globals';
import { RepriseError } from '../../../../src/domain/errors.js';
import { WaitingWal } from '../../../../src/engines/basebackup/wal/receive.js';
import type { EngineContext } from '../../../../src/engines/engine.js';

const context = { cluster: { name: 'mairie' }, host: { name: 'db1', scratchDir: '/scratch' } } as EngineContext;
const MINUTE = 60_000;

it('F12: refused credentials are told at once, a repository that is away when it has been for minutes', () => {
  let now = 0;
  const waiting = new WaitingWal(context, () => now);
  const away = new RepriseError('storage-unreachable', 'nobody answers', 'see the network');
  expect(waiting.failed(new RepriseError('storage-refused', 'the key is not known', 'make a new one'))).toMatchObject({
    code: 'wal-not-archived',
    hint: 'make a new one',
  });
  waiting.stored();
  expect(waiting.failed(away)).toBeNull();
  now = 4 * MINUTE;
  expect(waiting.failed(away)).toBeNull();
  // Stored meanwhile, it waits anew.
  waiting.stored();
  now = 8 * MINUTE;
  expect(waiting.failed(away)).toBeNull();
  now = 13 * MINUTE;
  expect(waiting.failed(away)).toMatchObject({
    code: 'wal-not-archived',
    message: expect.stringContaining('nobody answers') as unknown,
  });
  // A file that was renamed while it was read is no fault that lasts.
  waiting.stored();
  expect(waiting.failed(new Error('ENOENT'))).toBeNull();
});
