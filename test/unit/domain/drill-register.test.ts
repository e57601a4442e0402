import { describe, expect, it } from '@jest/globals';
import { parseSignOff } from '../../../src/domain/approval/parse-decisions.js';
import type { DrillOutcome, RegisterEntry } from '../../../src/domain/drill/drill.js';
import { closedBy, dueAfter, entryOf, overdueEntry } from '../../../src/domain/drill/register.js';
import { checkSignOff } from '../../../src/domain/approval/sign-off.js';
import { drillVerdict } from '../../../src/domain/drill/verdict.js';
import { drillOutcomeOf, entryFor, failedCheck, passedCheck } from '../../workflows/drills.js';

const word = { verdict: 'pass', by: 'qa', at: '2026-10-05T09:00:00Z', remarks: null } as const;
const done = { ended: 'done' } as const;

function outcome(more: Partial<DrillOutcome> = {}): DrillOutcome {
  const step = { cluster: 'mairie', operationId: 'op', workflowId: 'drill/mairie/op', ...done };
  const times = { startedAt: '2026-10-04T02:00:00Z', finishedAt: '2026-10-05T09:00:00Z' };
  return { ...drillOutcomeOf(step, [passedCheck('physical')], word, times), ...more };
}

describe('P5: the verdict of a drill', () => {
  it.each([
    ['all is well', done, [passedCheck('p')], word, 'pass', null],
    ['nobody is asked', done, [passedCheck('p')], null, 'pass', null],
    ['a check failed', done, [passedCheck('p'), failedCheck('p')], word, 'fail', 'check tables of p failed: 0 tables'],
    [
      'a check failed before it was cancelled',
      { ended: 'cancelled' },
      [failedCheck('p')],
      null,
      'fail',
      'check tables',
    ],
    ['a restore failed', { ended: 'failed', reason: 'p: damaged' }, [], null, 'fail', 'p: damaged'],
    [
      'a person says so',
      done,
      [],
      { ...word, verdict: 'fail', remarks: 'no photos' },
      'fail',
      'qa signed it off as failed: no photos',
    ],
    ['nobody answered', { ...done, reason: 'nobody signed it off' }, [], null, 'incomplete', 'nobody signed it off'],
    ['it was cancelled', { ended: 'cancelled' }, [], null, 'incomplete', 'it was cancelled'],
  ] as const)('%s', (_what, ending, checks, signOff, verdict, reason) => {
    expect(drillVerdict(ending, checks, signOff)).toEqual({
      verdict,
      reason: reason === null ? null : expect.stringContaining(reason),
    });
  });
});

describe('P5: the quality register', () => {
  const of = { owner: 'ops', policies: ['physical', 'nightly'], cancelled: false };

  it('a drill that failed or came to no verdict opens an entry with its owner and a day; one that passed or was cancelled does not', () => {
    const failed = outcome({ verdict: 'fail', reason: 'r' });
    expect(entryOf(failed, of)).toMatchObject({
      id: 'drill-failed-op',
      what: 'drill-failed',
      owner: 'ops',
      dueAt: '2026-11-04T09:00:00.000Z',
      policies: ['physical', 'nightly'],
      closedBy: null,
    });
    expect(entryOf(outcome({ verdict: 'incomplete' }), of)).not.toBeNull();
    expect(entryOf(outcome({ verdict: 'incomplete' }), { ...of, cancelled: true })).toBeNull();
    expect(entryOf(failed, { ...of, cancelled: true })).not.toBeNull();
    expect(entryOf(outcome(), of)).toBeNull();
  });

  it('only a later drill that passes closes it, and only one that restores what it is about', () => {
    const open: RegisterEntry = { ...entryFor('mairie', '2026-07-05T09:00:00Z'), policies: ['physical'] };
    expect(closedBy(outcome(), [open])).toMatchObject([
      { id: open.id, closedBy: 'op', closedAt: '2026-10-05T09:00:00Z' },
    ]);
    expect(closedBy(outcome({ verdict: 'incomplete' }), [open])).toEqual([]);
    expect(closedBy(outcome(), [{ ...open, policies: ['nightly'] }])).toEqual([]);
    expect(closedBy(outcome(), [{ ...open, openedAt: '2026-10-06T00:00:00Z' }])).toEqual([]);
    expect(closedBy(outcome(), [{ ...open, closedBy: 'other' }])).toEqual([]);
  });
});

describe('K7: whether a drill is overdue', () => {
  const dueAt = '2026-10-04T02:00:00.000Z';
  const overdue = (now: string, drills: readonly DrillOutcome[] = [], first = '2026-01-01T00:00:00Z') =>
    overdueEntry({ cluster: 'mairie', dueAt, signOffSeconds: 5 * 86_400, owner: 'ops' }, drills, first, now);
  const late = '2026-10-11T06:00:00Z';

  it('it is when its day, the time for its sign-off and another day are over and none came to a verdict', () => {
    expect(overdue('2026-10-10T01:59:59Z')).toBeNull();
    expect(overdue(late)).toMatchObject({
      id: 'drill-overdue-2026-10-04',
      owner: 'ops',
      openedAt: late,
      dueAt: dueAfter(late),
      text: 'the drill that was due at 2026-10-04T02:00Z came to no verdict: it is 7 d 04 h late',
    });
    expect(overdue(late, [outcome({ startedAt: '2026-07-05T02:00:00Z' })])).not.toBeNull();
    expect(overdue(late, [outcome({ verdict: 'incomplete' })])).not.toBeNull();
  });

  it('it is not where one passed or failed, also a day before; nor where the cluster was not known then', () => {
    expect(overdue(late, [outcome()])).toBeNull();
    expect(overdue(late, [outcome({ verdict: 'fail' })])).toBeNull();
    expect(overdue(late, [outcome({ startedAt: '2026-10-03T08:00:00Z' })])).toBeNull();
    expect(overdue(late, [], '2026-10-05T00:00:00Z')).toBeNull();
    expect(overdueEntry({ cluster: 'mairie', dueAt, owner: null }, [], undefined, late)).toBeNull();
  });
});

describe('P5: a sign-off', () => {
  it('is read from an object or from one line of JSON', () => {
    const said = { verdict: 'pass', by: 'qa', remarks: 'good', keep: '4h' };
    for (const raw of [said, JSON.stringify(said)])
      expect(parseSignOff(raw)).toEqual({ verdict: 'pass', by: 'qa', remarks: 'good', keepSeconds: 14_400 });
    expect(parseSignOff({ verdict: 'fail', by: 'qa', remarks: ' ' })).toMatchObject({ remarks: null, keepSeconds: 0 });
  });

  it.each([
    [{ verdict: 'good', by: 'qa' }, '"verdict"'],
    [{ verdict: 'pass' }, '"by"'],
    [{ verdict: 'pass', by: 'qa', remarks: 3 }, '"remarks"'],
    [{ verdict: 'pass', by: 'qa', remarks: 'x'.repeat(2001) }, '"remarks"'],
    [{ verdict: 'pass', by: 'qa', keep: 'long' }, '"keep"'],
    [['pass'], 'one JSON object'],
    ['pass', 'not JSON'],
  ])('%j is none', (raw, problem) => {
    expect(parseSignOff(raw)).toEqual({ problem: expect.stringContaining(problem) });
  });

  it('counts of somebody who is named, once, for the plan that was carried out', () => {
    const hints = { unknown: 'a', policy: 'b', used: 'c' };
    const what = { one: 'drill', what: 'drills of mairie', hints };
    const asked = { ...what, policy: { by: ['qa'] }, isPlanned: true, earlier: null };
    expect(checkSignOff(word, asked)).toEqual({ accepted: true, missing: 0 });
    expect(checkSignOff({ ...word, by: ' QA ' }, asked)).toEqual({ accepted: true, missing: 0 });
    expect(checkSignOff(word, { ...asked, earlier: word })).toMatchObject({ accepted: true });
    const refused = [
      checkSignOff({ ...word, by: 'eve' }, asked),
      checkSignOff(word, { ...asked, policy: undefined }),
      checkSignOff(word, { ...asked, isPlanned: false }),
      checkSignOff(word, { ...asked, earlier: { ...word, verdict: 'fail' } }),
    ];
    expect(refused.map(({ code }) => code)).toEqual([
      'approval-refused',
      'policy-missing',
      'plan-unknown',
      'approval-used',
    ]);
  });
});
