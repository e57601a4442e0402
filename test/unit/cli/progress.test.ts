import { describe, expect, it } from '@jest/globals';
import { ProgressDisplay, Rate } from '../../../src/cli/terminal/progress.js';
import type { Terminal } from '../../../src/cli/terminal/terminal.js';
import type { StatusView } from '../../../src/client/status.js';
import { unlessPassed } from '../../../src/domain/operation/progress.js';

const t0 = Date.parse('2026-11-21T02:15:00Z');
const phase = (name: string, seconds: number | null) => ({ name, startedAt: new Date(t0).toISOString(), seconds });

function view(change: Partial<StatusView>): StatusView {
  const phases = change.phases ?? [];
  return {
    workflowId: 'recover/mairie/1',
    state: 'running',
    phase: phases.at(-1)?.name ?? null,
    waitingFor: null,
    progress: null,
    retrying: null,
    ...change,
    phases,
  } as StatusView;
}
const restoring = (done: number): StatusView =>
  view({
    phases: [phase('plan', 0.4), phase('restore', null)],
    progress: { done, total: 3_000_000_000, unit: 'bytes' },
  });

function display(live: boolean) {
  const lines: string[] = [];
  let stream = '';
  const terminal = {
    live,
    columns: 120,
    err: (text: string) => (stream += text),
    paint: (_color: string, text: string) => text,
  } as unknown as Terminal;
  return {
    shown: new ProgressDisplay(terminal, (line) => lines.push(line)),
    lines,
    live: () => stream.split('\r\x1b[2K').at(-1),
  };
}

describe('D6: progress on a terminal', () => {
  it('one live line with done, total, rate and what is left; a phase that is over keeps one line with its time', () => {
    const { shown, lines, live } = display(true);
    shown.update(restoring(0), t0);
    expect(lines).toEqual(['done  plan, 0.4 s']);
    shown.update(restoring(800_000_000), t0 + 10_000);
    expect(live()).toBe('now   restore, 10 s: 26 % (800.0 MB of 3.0 GB), 80.0 MB/s, about 28 s left');
    shown.update(
      view({ phases: [phase('plan', 0.4), phase('restore', 37.2), phase('run checks', null)] }),
      t0 + 38_000,
    );
    expect(lines).toEqual(['done  plan, 0.4 s', 'done  restore, 37 s']);
    expect(live()).toBe('now   run checks, 38 s');
    shown.clear();
    expect(live()).toBe('');
  });

  it('what is under way within a phase is told when it ends, before the phase itself', () => {
    const { shown, lines, live } = display(true);
    shown.update(
      view({ phase: 'plan', phases: [phase('plan', null), phase('restore', 12), phase('remove', 1)] }),
      t0 + 20_000,
    );
    expect(lines).toEqual(['done  restore, 12 s', 'done  remove, 1 s']);
    expect(live()).toBe('now   plan, 20 s');
    shown.update(view({ phases: [phase('plan', 25), phase('restore', 12), phase('remove', 1)] }), t0 + 25_000);
    expect(lines.slice(2)).toEqual(['done  plan, 25 s']);
  });

  it('what a person is waited for is said once, in full, and the state stands in the live line', () => {
    const { shown, lines, live } = display(true);
    const waiting = view({
      phases: [phase('wait for approval', null)],
      state: 'waiting-approval',
      waitingFor: 'approval of plan x: type this',
    });
    for (const at of [0, 1000, 2000]) shown.update(waiting, t0 + at);
    expect(lines).toEqual(['waiting for approval of plan x: type this']);
    expect(live()).toBe('now   wait for approval, 2 s (waiting-approval)');
  });

  it('F35: a reason with control characters cannot write on the terminal', () => {
    const { shown, live } = display(true);
    shown.update(view({ phases: [phase('restore', null)], retrying: { attempt: 2, reason: 'no\x1b[2Jroom' } }), t0);
    expect(live()).toContain('attempt 2, because no<U+001B>[2Jroom');
  });
});

it('D6: without a terminal a dated line for every change and one every 30 s, nothing else', () => {
  const { shown, lines, live } = display(false);
  for (let second = 0; second <= 61; second += 1) shown.update(restoring(second * 10_000_000), t0 + second * 1000);
  shown.update(view({ phases: [phase('plan', 0.4), phase('restore', 62), phase('run checks', null)] }), t0 + 62_000);
  expect(live()).toBe('');
  expect(lines.map((line) => line.slice(0, 19))).toEqual([
    '2026-11-21T02:15:00',
    '2026-11-21T02:15:30',
    '2026-11-21T02:16:00',
    '2026-11-21T02:16:02',
  ]);
  expect(lines[1]).toBe(
    '2026-11-21T02:15:30.000Z recover/mairie/1  running: restore, 10 % (300.0 MB of 3.0 GB), 10.0 MB/s, about 4 min 30 s left',
  );
});

it('O12: without a terminal what a person is waited for is said once, and not every 30 s', () => {
  const { shown, lines } = display(false);
  const waiting = view({
    phases: [phase('pause at the target', null)],
    state: 'paused',
    waitingFor: 'promote: type this',
  });
  for (let second = 0; second <= 300; second += 1) shown.update(waiting, t0 + second * 1000);
  expect(lines).toEqual(['waiting for promote: type this', expect.stringContaining('paused')]);
});

it('O17: what a person is waited for has the local time beside that in UTC', () => {
  const lines: string[] = [];
  const shown = new ProgressDisplay(
    { live: false, columns: 80, err: () => undefined, paint: (_: string, text: string) => text } as never,
    (line) => void lines.push(line),
    'Europe/Paris',
  );
  shown.update(view({ state: 'waiting-approval', waitingFor: 'approval until 2026-11-21T06:15Z' }), t0);
  expect(lines[0]).toBe('waiting for approval until 2026-11-21T06:15Z (07:15:00 +01:00)');
});

describe('rate of a step', () => {
  it('is that of the last seconds, so that a stop shows', () => {
    const rate = new Rate();
    for (let second = 0; second <= 20; second += 1) rate.add(restoring(second * 50), second * 1000);
    expect(rate.perSecond).toBe(50);
    for (let second = 21; second <= 40; second += 1) rate.add(restoring(1000), second * 1000);
    expect(rate.perSecond).toBeNull();
  });

  it('begins anew with another step, and where a step was begun anew', () => {
    const rate = new Rate();
    rate.add(restoring(500), 0);
    rate.add(restoring(900), 1000);
    rate.add(restoring(100), 2000);
    expect(rate.perSecond).toBeNull();
    rate.add(view({ phases: [phase('run checks', null)], progress: { done: 7, unit: 'tables' } }), 3000);
    expect(rate.perSecond).toBeNull();
  });
});

it('O16: an estimate of the whole is dropped once more than that is done: it never shows 100 % of what goes on', () => {
  expect(unlessPassed(8_000_000, 1200)).toEqual({ total: 8_000_000 });
  expect(unlessPassed(1200, 1200)).toEqual({});
  expect(unlessPassed(1200, 5_000_000)).toEqual({});
  expect(unlessPassed(null, 1)).toEqual({});
});
