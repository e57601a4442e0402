import { expect, it } from '@jest/globals';
import { waitForEndOfWal, waitForPause } from '../../../src/postgres/recovery/recovery-wait.js';

const nobody = { host: '127.0.0.1', port: 1, user: 'x', maintenanceDatabase: 'postgres' };
const hanging = {
  service: { status: async () => 'running' as const, logTail: async () => '' },
  pollMs: 5,
  stallMs: 10,
};

it('F9: a server that lives and does not advance is told to a person instead of being waited for without end', async () => {
  const told = {
    code: 'target-not-reached',
    message: expect.stringContaining('replay has not advanced'),
    hint: expect.stringContaining('restore_command'),
  };
  await expect(waitForPause(nobody, hanging)).rejects.toMatchObject(told);
  await expect(waitForEndOfWal(nobody, null, hanging)).rejects.toMatchObject(told);
});
