import { describe, expect, it } from '@jest/globals';
import { drillFindings } from '../../../src/client/checks/drill-findings.js';
import type { ClusterConfig } from '../../../src/domain/config.js';
import { drillOutcomeOf, entryFor } from '../../workflows/drills.js';

const cluster = {
  name: 'mairie',
  drill: {
    schedule: { cron: '0 2 1-7 1,4,7,10 0', catchUpSeconds: 3600 },
    signOff: { by: ['qa'], withinSeconds: 432_000 },
  },
} as unknown as ClusterConfig;
const now = new Date('2026-10-20T06:00:00Z');
const known = { firstRecordAt: '2026-01-01T00:00:00Z', register: [] };
const passed = (startedAt: string) =>
  drillOutcomeOf({ cluster: 'mairie', operationId: 'op', workflowId: 'w', ended: 'done' }, [], null, {
    startedAt,
    finishedAt: startedAt,
  });

describe('K7: what check says of drills', () => {
  it('a drill that passed since it was due is all right', () => {
    expect(drillFindings(cluster, { ...known, drills: [passed('2026-10-04T02:00:00Z')] }, now)).toEqual([
      expect.objectContaining({
        check: 'drill/mairie',
        level: 'ok',
        message: 'the last drill of mairie passed 16 d 04 h ago',
      }),
    ]);
  });

  it('one that did not take place is a problem, also where nothing has looked for it', () => {
    const [found] = drillFindings(cluster, { ...known, drills: [passed('2026-07-05T02:00:00Z')] }, now);
    expect(found).toMatchObject({ level: 'problem', fix: 'reprise drill run mairie' });
    expect(found?.message).toContain('the drill that was due at 2026-10-04T02:00Z came to no verdict');
  });

  it('an open entry of the register is a problem, with its owner and day; a closed one is not', () => {
    const drills = [passed('2026-10-04T02:00:00Z')];
    const entry = entryFor('mairie', '2026-10-05T00:00:00Z');
    expect(drillFindings(cluster, { ...known, drills, register: [entry] }, now)).toMatchObject([
      { level: 'problem', message: expect.stringContaining('until 2026-11-04T00:00:00.000Z by ops') },
    ]);
    const closed = { ...entry, closedBy: 'op', closedAt: '2026-10-06T00:00:00Z' };
    expect(drillFindings(cluster, { ...known, drills, register: [closed] }, now)).toMatchObject([{ level: 'ok' }]);
  });

  it('V4: evidence that the records name and the repository has no more is a problem', () => {
    const drills = [passed('2026-10-04T02:00:00Z')];
    const lost = [{ cluster: 'mairie', drill: 'op', code: 'drill-missing' as const, text: 'its evidence is missing' }];
    expect(drillFindings(cluster, { ...known, drills, lost }, now)).toMatchObject([
      { check: 'evidence/mairie', level: 'problem', message: 'its evidence is missing' },
    ]);
  });

  it('a cluster that was not known when a drill was due has none yet; one without drills is not asked', () => {
    const fresh = { firstRecordAt: '2026-10-10T00:00:00Z', register: [], drills: [] };
    expect(drillFindings(cluster, fresh, now)).toMatchObject([{ level: 'warning' }]);
    expect(drillFindings({ name: 'mairie' } as ClusterConfig, fresh, now)).toEqual([]);
  });
});
