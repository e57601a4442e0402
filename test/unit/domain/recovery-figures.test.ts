import { describe, expect, it } from '@jest/globals';
import type { StepEvent } from '../../../src/domain/operation/step-events.js';
import { type RecoveryFacts, recoveryFigures } from '../../../src/domain/plan/recovery-figures.js';
import { samplePlan } from '../records/samples.js';

const START = Date.parse('2026-11-21T02:00:00.000Z');
/** UTC ISO-8601 so many minutes after the first failed check. */
const at = (minutes: number): string => new Date(START + minutes * 60_000).toISOString();
const reached = { reached: 'the end of the WAL', lastLsn: '0/5000000', lastCommitAt: at(-1), complete: false };

type Line = readonly [minutes: number, step: string, what: StepEvent['what'], more?: Partial<StepEvent>];

function facts(lines: readonly Line[], more: Partial<RecoveryFacts> = {}, binding = {}): RecoveryFacts {
  const plan = samplePlan({ method: 'data-directory', ...binding });
  const events = lines.map(([minutes, step, what, further]) => ({
    at: at(minutes),
    plan: plan.digest,
    step,
    what,
    retry: 0,
    ...further,
  }));
  return {
    plan,
    events,
    requestedAt: at(5),
    failingSince: at(0),
    plans: [{ createdAt: at(5), approvedAt: at(65) }],
    ...more,
  };
}

const replayed: readonly Line[] = [
  [66, 'restoreFiles', 'begun'],
  [70, 'restoreFiles', 'done'],
  [70, 'replayWal', 'begun'],
  [72, 'replayWal', 'done', { result: reached }],
  [72, 'runChecks', 'begun'],
  [73, 'runChecks', 'done', { result: [{ name: 'rows', status: 'passed', detail: '12' }] }],
];
const promoted: readonly Line[] = [
  [73, 'promoteServer', 'begun'],
  [74, 'promoteServer', 'done', { result: { timeline: 2 } }],
];

describe('G7: the figures of a recovery, from the ledger of its host alone', () => {
  it('G7: RTO runs from the first failed check to validated, without the hour that people took to approve', () => {
    expect(recoveryFigures(facts([...replayed, ...promoted]))).toMatchObject({
      target: { reached: 'the end of the WAL' },
      rtoSeconds: 14 * 60,
      waitedForPeopleSeconds: 60 * 60,
      rpoSeconds: 60,
      lastLsn: '0/5000000',
      checks: [{ name: 'rows', status: 'passed' }],
      phases: [
        { name: 'wait for approval', seconds: 3600 },
        { name: 'restore files', seconds: 240 },
        { name: 'replay WAL', seconds: 120 },
        { name: 'run checks', seconds: 60 },
        { name: 'promote', seconds: 60 },
      ],
    });
  });

  const stopped = (minutes: number, wasRunning: boolean, lastWriteAt: string | null = null): readonly Line[] => [
    [minutes, 'stopServer', 'begun'],
    [minutes, 'stopServer', 'done', { result: { at: at(minutes), wasRunning, lastWriteAt } }],
  ];
  const rpoOf = (lines: readonly Line[], more: Partial<RecoveryFacts> = {}, binding = {}): number | null | undefined =>
    recoveryFigures(facts([...lines, ...replayed, ...promoted], more, binding))?.rpoSeconds;

  it('O2: the RPO reaches to the stop of a server that still took writes, not to the request', () => {
    expect(rpoOf(stopped(65, true))).toBe(66 * 60);
    expect(rpoOf(stopped(65, true), { failingSince: null })).toBe(66 * 60);
    // Down when it was stopped, and nobody had seen it down before: until then it may have taken writes.
    expect(rpoOf(stopped(65, false), { failingSince: null })).toBe(66 * 60);
  });

  it('O2: of a server that was down it reaches to the first failed check, or to what it wrote after that', () => {
    expect(rpoOf(stopped(65, false))).toBe(60);
    expect(rpoOf(stopped(65, false, at(-30)))).toBe(60);
    expect(rpoOf(stopped(65, false, at(10)))).toBe(11 * 60);
    expect(rpoOf([[65, 'stopServer', 'done']])).toBe(66 * 60);
  });

  it('O2: databases take writes until they are swapped', () => {
    const swapped: readonly Line[] = [
      [66, 'restoreDatabases', 'begun'],
      [70, 'restoreDatabases', 'done', { result: reached }],
      [80, 'swapDatabases', 'begun'],
      [81, 'swapDatabases', 'done'],
    ];
    expect(recoveryFigures(facts(swapped, {}, { method: 'databases' }))?.rpoSeconds).toBe(82 * 60);
  });

  it('O12: beside a server that goes on nothing is lost and no RPO is claimed; beside one that is lost it is', () => {
    const beside = facts([...replayed, ...promoted], {}, { into: 'beside', port: 5434, dataDir: '/srv/beside' });
    expect(recoveryFigures(beside)).toMatchObject({
      ...{ rpoSeconds: null, leavesProduction: true },
      place: { into: 'beside', port: 5434, dataDir: '/srv/beside' },
    });
    const { plan } = beside;
    const lost = { ...beside, plan: { ...plan, observed: { ...plan.observed, serverIsThere: false } } };
    expect(recoveryFigures(lost)).toMatchObject({ rpoSeconds: 60 });
    expect(recoveryFigures(lost)).not.toHaveProperty('leavesProduction');
  });

  it('G7: where the host itself saw nothing fail, RTO runs from the request, whatever a client says', () => {
    expect(recoveryFigures(facts([...replayed, ...promoted], { failingSince: null }))?.rtoSeconds).toBe(9 * 60);
  });

  it('G7: without the steps that recover and validate there is no outcome, and steps of another plan are none', () => {
    expect(recoveryFigures(facts([]))).toBeNull();
    expect(recoveryFigures(facts(replayed))).toBeNull();
    const foreign = [...replayed, ...promoted].map(([minutes, step, what, more]): Line => [
      minutes,
      step,
      what,
      { ...more, plan: 'f'.repeat(64) },
    ]);
    expect(recoveryFigures(facts(foreign))).toBeNull();
    expect(recoveryFigures(facts([[1, 'runChecks', 'decided'], ...promoted]))).toBeNull();
  });

  it('G7: the last checks count, and the last target: after a retarget those before it are over', () => {
    const again: readonly Line[] = [
      [100, 'retarget', 'decided'],
      [100, 'replayWal', 'begun'],
      [101, 'replayWal', 'done', { result: { ...reached, reached: 'later', complete: true } }],
      [101, 'runChecks', 'begun'],
      [102, 'runChecks', 'done', { result: [{ name: 'rows', status: 'failed', detail: '0' }] }],
      [132, 'promote', 'decided'],
      [132, 'promoteServer', 'begun'],
      [133, 'promoteServer', 'done'],
    ];
    const found = recoveryFigures(facts([...replayed, ...again]));
    expect(found).toMatchObject({
      target: { reached: 'later' },
      checks: [{ status: 'failed' }],
      rpoSeconds: 0,
      waitedForPeopleSeconds: (60 + 27 + 30) * 60,
      rtoSeconds: (133 - 60 - 27 - 30) * 60,
    });
  });

  it('G7: waiting after a failed step is waiting; a retry of the server is not; after validation it changes no RTO', () => {
    const lines: readonly Line[] = [
      [66, 'putAside', 'begun'],
      [67, 'putAside', 'failed'],
      [68, 'putAside', 'begun'],
      [69, 'putAside', 'failed'],
      [129, 'putAside', 'begun', { retry: 1 }],
      [130, 'putAside', 'done', { retry: 1 }],
      [130, 'replayWal', 'begun'],
      [131, 'replayWal', 'done', { result: reached }],
      [131, 'promoteServer', 'begun'],
      [132, 'promoteServer', 'done'],
      [132, 'freshBackup', 'begun'],
      [133, 'freshBackup', 'failed'],
      [373, 'freshBackup', 'begun', { retry: 1 }],
      [374, 'freshBackup', 'done', { retry: 1 }],
    ];
    const found = recoveryFigures(facts(lines));
    expect(found?.rtoSeconds).toBe((132 - 60 - 60) * 60);
    expect(found?.waitedForPeopleSeconds).toBe((60 + 60 + 240) * 60);
    expect(found?.phases).toContainEqual({ name: 'move the old data', seconds: 180 });
  });

  it('G7: waiting under a plan that another one replaced is waiting too', () => {
    const plans = [
      { createdAt: at(5), approvedAt: null },
      { createdAt: at(25), approvedAt: at(65) },
    ];
    expect(recoveryFigures(facts([...replayed, ...promoted], { plans }))?.waitedForPeopleSeconds).toBe(3600);
  });

  it.each([
    ['0 where the last valid WAL record of the source was replayed', { complete: true, lastCommitAt: at(-9999) }, 0],
    ['first failed check less last recovered commit', { complete: false, lastCommitAt: at(-2) }, 120],
    ['never less than nothing', { complete: false, lastCommitAt: at(2) }, 0],
    ['unknown where no commit is known', { complete: false, lastCommitAt: null }, null],
  ])('G7: RPO: %s', (_name, found, rpoSeconds) => {
    const lines: readonly Line[] = [[72, 'replayWal', 'done', { result: { ...reached, ...found } }], ...promoted];
    expect(recoveryFigures(facts(lines))).toMatchObject({ rpoSeconds, lastCommitAt: found.lastCommitAt });
  });

  it.each([
    ['databases', 'restoreDatabases', 'swapDatabases'],
    ['restart', 'startServer', 'runChecks'],
  ] as const)('G7: a recovery by %s is validated by its own step', (method, reaches, validates) => {
    const lines: readonly Line[] = [
      [66, reaches, 'begun'],
      [67, reaches, 'done', { result: reached }],
      [68, validates, 'begun'],
      [69, validates, 'done', { result: [] }],
    ];
    expect(recoveryFigures(facts(lines, {}, { method }))).toMatchObject({ rtoSeconds: 9 * 60 });
    expect(recoveryFigures(facts([...replayed, ...promoted], {}, { method: 'databases' }))).toBeNull();
  });
});
