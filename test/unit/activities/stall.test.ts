import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from '@jest/globals';
import { MockActivityEnvironment } from '@temporalio/testing';
import { type ActivityRun, wrapActivity } from '../../../src/activities/activity-wrapper.js';
import { createHostActivities } from '../../../src/activities/index.js';
import type { HostDependencies } from '../../../src/activities/dependencies.js';
import { workMoved } from '../../../src/files/work-signs.js';
import { runProgram } from '../../../src/process/exec/run-program.js';
import type { JobView } from '../../../src/domain/operation/progress.js';

const job: JobView = { key: 'op/dump', tool: 'pg_dump', pid: 1, attempts: 1, starts: 1, state: 'running' };

/** Runs a body under a stall time of 800 ms; what it fails with, or its result. */
async function run(body: (run: ActivityRun) => Promise<unknown>, input: object = {}): Promise<unknown> {
  const activity = wrapActivity('promoteServer', (_: object, attempt) => body(attempt));
  const env = new MockActivityEnvironment({ heartbeatTimeoutMs: 10_000 });
  return env.run(() => activity(input, { stallSeconds: 0.8 })).catch((error: unknown) => error);
}

const hung = (): Promise<never> => new Promise(() => undefined);
/** Works for one and a half seconds, and says so by what is called each time. */
async function working(tell: (done: number) => void): Promise<string> {
  for (let done = 0; done < 30; done++) {
    await sleep(50);
    tell(done);
  }
  return 'done';
}

it('L10: a step that hangs without a job ends as stalled after the time of the config; it is not repeated by itself', async () => {
  expect(await run(hung)).toMatchObject({
    type: 'step-stalled',
    nonRetryable: true,
    message: 'the step made no progress for 0.8 s (promoteServer)',
    details: [{ hint: expect.stringContaining('timeouts.stall') }],
  });
});

it('L10: a report that says the same again is no progress', async () => {
  const same = (attempt: ActivityRun) =>
    working(() => attempt.report({ phase: 'replaying WAL, at 0/1', done: 0, unit: 'segments' }));
  expect(await run(same)).toMatchObject({ type: 'step-stalled' });
});

it('L10: what it hangs in is told to stop, and what it says later reaches nobody', async () => {
  let stopped = false;
  const late = async (attempt: ActivityRun): Promise<void> => {
    attempt.signal.addEventListener('abort', () => (stopped = true));
    await sleep(1200);
    attempt.report({ phase: 'late', done: 1, unit: 'steps' });
  };
  expect(await run(late)).toMatchObject({ type: 'step-stalled' });
  expect(stopped).toBe(true);
});

it.each<[string, (attempt: ActivityRun) => Promise<string>]>([
  ['reports what is done', (attempt) => working((done) => attempt.report({ phase: 'read', done, unit: 'files' }))],
  ['keeps where it is', (attempt) => working((done) => attempt.keep(`photos/${done}`))],
  ['gives signs of it, as what copies files does', () => working(() => workMoved())],
  [
    'runs a program, which has a time-out of its own',
    async () => (await runProgram(['sh', '-c', 'sleep 1.5; echo done'])).stdout,
  ],
  [
    'watches a job, which has a stall rule of its own',
    (attempt) => working(() => attempt.report({ phase: 'dump', done: 0, unit: 'bytes' }, job)),
  ],
])('L10: a step that %s has not stalled, however long it takes', async (_, body) => {
  expect(await run(body)).toBe('done');
});

it('L10: the place where a failed attempt stopped goes with its failure, and the next one begins there', async () => {
  const failed = await run(async (attempt) => {
    attempt.keep('photos/7');
    throw Object.assign(new Error('ESTALE: stale file handle, read'), { code: 'ESTALE', syscall: 'read' });
  });
  expect(failed).toMatchObject({
    type: 'storage-unreachable',
    nonRetryable: false,
    details: [{ cursor: 'photos/7' }],
  });
  expect(await run(async ({ cursor }) => cursor, { cursor: 'photos/7' })).toBe('photos/7');
});

it('L10: every activity of a host has the stall time of its config, but those that watch', async () => {
  const config = { hosts: { db1: { stateDir: '/nowhere' } }, clusters: {} };
  const deps = { config, host: 'db1', inspectHost: hung, engineOf: hung } as unknown as HostDependencies;
  const activities = createHostActivities(deps, 0.2);
  const env = new MockActivityEnvironment({ heartbeatTimeoutMs: 10_000 });
  const question = { kind: 'host', host: 'db1' } as never;
  const answered = env.run(() => activities.answer({ question, host: 'db1' })).catch((error: unknown) => error);
  expect(await answered).toMatchObject({ type: 'step-stalled' });
});
