import { describe, expect, it } from '@jest/globals';
import { configureRecovery } from '../../../src/postgres/recovery/recovery.js';
import { waitForEndOfWal, waitForPause } from '../../../src/postgres/recovery/recovery-wait.js';
import { tempDir } from '../../helpers/temp.js';

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

describe('W17: a disk that becomes full while WAL is replayed is said as such', () => {
  const ended = (logTail: string, dataDir?: string) => ({
    service: { status: async () => 'stopped' as const, logTail: async () => logTail, dataDir },
    pollMs: 5,
  });

  it.each([
    'FATAL:  could not extend file "base/5/16384": No space left on device',
    "cp: error writing 'pg_wal/RECOVERYXLOG': No space left on device\nFATAL:  recovery ended before configured recovery target was reached",
    'FATAL:  could not write init file',
    // What the tools of the other engines print where restore_command has no room.
    'ERROR: 2026/11/21 02:15:00.1 write pg_wal/RECOVERYXLOG: no space left on device\nFATAL:  recovery ended before configured recovery target was reached',
    "ERROR: [082]: unable to write to '/srv/pg_wal/RECOVERYXLOG': [28] No space left on device",
    'ERROR: 2026/11/21 02:15:00.1 write pg_wal/RECOVERYXLOG: disk quota exceeded',
  ])('by its log: %s', async (logTail) => {
    await expect(waitForPause(nobody, ended(`LOG:  redo starts\n${logTail}`))).rejects.toMatchObject({
      code: 'disk-full',
      message: expect.stringContaining(logTail.split('\n')[0] ?? ''),
      hint: expect.stringMatching(/free space.*reprise continue/),
    });
  });

  it('and not where there is room, or a log says something else', async () => {
    const failed = waitForPause(nobody, ended('FATAL:  the database system is starting up', '/'));
    await expect(failed).rejects.toMatchObject({ code: 'service-failed' });
  });
});

it('W17: a directory without its PG_VERSION is no internal error', async () => {
  const dataDir = await tempDir('no-version');
  const request = {
    dataDir,
    user: null,
    target: { kind: 'latest' },
    restoreCommand: 'false',
    salvageDir: null,
  } as const;
  await expect(configureRecovery({ ...request, timeline: 'latest' })).rejects.toMatchObject({
    code: 'version-mismatch',
    message: expect.stringContaining(`${dataDir} does not say of which version`),
  });
});
