import { describe, expect, it } from '@jest/globals';
import type { HostConfig } from '../../../src/domain/config.js';
import type { TemporalSession } from '../../../src/client/connect.js';
import { startBackup, startIncident, startMedia, startRecovery, startVerification } from '../../../src/client/start.js';
import { actionOf, differences } from '../../../src/client/schedules/schedule-differences.js';
import { calendarSpec } from '../../../src/client/schedules/calendar.js';
import { queuesOf } from '../../../src/worker/main.js';
import { complaint, parsed, valid } from '../config/given.js';

describe('slots of a host and who goes first in its queues', () => {
  const hostWith = (slots: string): HostConfig => {
    const host = parsed(
      `${valid.replace('data_dir', 'host: db1\n    data_dir')}hosts:\n  db1: { state_dir: /s${slots} }\n`,
    ).hosts['db1'];
    if (!host) throw new Error('no host');
    return host;
  };

  it('L6: recoveries and recoveries of media have slots of their own, each as many as the configuration says', () => {
    expect(hostWith('')).toMatchObject({ heavySlots: 1, recoverySlots: 1, mediaSlots: 1 });
    const slots = ', recovery_slots: 30, media_slots: 20';
    expect(hostWith(slots)).toMatchObject({ heavySlots: 1, recoverySlots: 30, mediaSlots: 20 });
    const queues = Object.fromEntries(queuesOf(hostWith(slots)));
    // L5: more run at once than there are slots, so that no step waits here for an attempt that hangs.
    expect(queues['reprise-db1-recovery']).toBeGreaterThan(30);
    expect(queues['reprise-db1-media']).toBeGreaterThan(20);
    expect(queues['reprise-db1-heavy']).toBeGreaterThan(1);
    expect(complaint(`${valid}hosts:\n  db1: { recovery_slots: 0 }\n`).join()).toContain('recovery_slots');
  });

  it('L6: a recovery goes before a backup, however it was started', async () => {
    const keys = new Map<string, number>();
    const client = {
      workflow: {
        start: async (type: string, { priority }: { priority: { priorityKey: number } }) =>
          keys.set(type, priority.priorityKey),
      },
    };
    const session = { client } as unknown as TemporalSession;
    const request = { cluster: 'mairie', requester: 'dba' };
    await startRecovery(session, { ...request, order: { target: { kind: 'latest' }, into: 'in-place', pause: false } });
    await startIncident(session, { ...request, scenario: 'instance-loss' });
    const task = { kind: 'recover', to: '2026-11-21T02:15:00.000Z', later: 'keep' } as const;
    await startMedia(session, { ...request, order: { media: 'photos', task } });
    await startBackup(session, { ...request, order: { policy: 'nightly', type: 'auto' } });
    await startVerification(session, { ...request, order: { backupId: 'b1', restore: false } });
    const first = (type: string): number => keys.get(type) ?? Number.NaN;
    expect([...keys.keys()].sort((one, other) => first(one) - first(other))).toEqual([
      'recover',
      'incident',
      'media',
      'backup',
      'verifyBackup',
    ]);
    expect(first('recover')).toBeLessThan(first('media'));
    expect(first('media')).toBeLessThan(first('backup'));

    const wanted = {
      ...{ id: 'reprise/mairie/nightly', cluster: 'mairie', policy: 'nightly', catchUpSeconds: 60, cron: '0 2 * * *' },
      starts: 'backup' as const,
      calendar: calendarSpec('0 2 * * *'),
    };
    const action = actionOf(wanted);
    expect(action.priority.priorityKey).toBe(first('backup'));
    // A schedule of an earlier version is changed by the next `schedule apply`.
    const found = {
      spec: { calendars: [wanted.calendar] },
      policies: { catchupWindow: 60_000, overlap: 'SKIP', pauseOnFailure: false },
      action: { ...action, priority: {} },
    };
    expect(differences(wanted, found as never)).toEqual([expect.stringContaining('priority')]);
  });
});
