import { expect, it } from '@jest/globals';
import type { TemporalSession } from '../../../src/client/connect.js';
import { runInspection } from '../../../src/client/inspect.js';
import { RepriseError } from '../../../src/domain/errors.js';
import type { Inspection } from '../../../src/domain/operation/inspections.js';

interface Asked {
  readonly question: Inspection;
  readonly host?: string;
  readonly without?: string;
}

/** A server with these hosts, which answer each question as given; what was started and removed there. */
function site(hosts: readonly string[], answer: (asked: Asked) => unknown) {
  const started: string[] = [];
  const kept: string[] = [];
  const start = async (name: string, options: { id: string; taskQueue: string; args: [Asked] }) => {
    const [asked] = options.args;
    started.push(`${name} ${asked.question.kind} on ${options.taskQueue}`);
    kept.push(options.id);
    return {
      activityId: options.id,
      describe: async () => ({}),
      terminate: async () => undefined,
      result: async () =>
        name === 'hostsOf'
          ? hosts.filter((host) => host !== asked.without).slice(0, asked.question.kind === 'incident' ? 1 : 9)
          : answer(asked),
    };
  };
  async function* list(query: string) {
    for (const activityId of kept.filter((id) => query.includes(`'${id}'`))) yield { activityId };
  }
  const session = {
    client: { activity: { start, list } },
    connection: {
      withAbortSignal: (_: AbortSignal, run: () => unknown) => run(),
      workflowService: {
        deleteActivityExecution: async ({ activityId }: { activityId: string }) =>
          void kept.splice(kept.indexOf(activityId), 1),
      },
    },
    settings: { namespace: 'default' },
  } as unknown as TemporalSession;
  return { session, started, kept };
}

it('L13: an answer in pages is read from each host that keeps one, and those of several hosts come as one', async () => {
  const whole = JSON.stringify({ backups: [{ id: 'a' }, { id: 'b' }] });
  const { session, started, kept } = site(['db1', 'db2'], ({ question, host }) => {
    if (question.kind !== 'page')
      return host === 'db1' ? { paged: { host: 'db1', id: 'x', pages: 3 } } : { backups: [{ id: 'c' }] };
    const third = Math.ceil(whole.length / 3);
    return { text: whole.slice(question.page * third, (question.page + 1) * third) };
  });
  expect(await runInspection<'backups'>(session, { kind: 'backups' })).toEqual({
    backups: [{ id: 'a' }, { id: 'b' }, { id: 'c' }],
  });
  expect(started).toEqual([
    'hostsOf backups on reprise',
    'answer backups on reprise-db1',
    'answer backups on reprise-db2',
    ...[0, 1, 2].map(() => 'answer page on reprise-db1'),
  ]);
  expect(kept).toEqual([]);
});

it('a short answer is what the host said', async () => {
  const { session } = site(['db1'], () => ({ kept: [] }));
  expect(await runInspection<'kept'>(session, { kind: 'kept' })).toEqual({ kept: [] });
});

it('O11: a refused read is removed too; a write that is refused stays to be seen', async () => {
  const refusal = new Error('refused');
  const { session, kept } = site(['db1'], () => Promise.reject(refusal));
  await expect(runInspection<'kept'>(session, { kind: 'kept' })).rejects.toBe(refusal);
  expect(kept).toEqual([]);
  const hold = { kind: 'hold', id: 'mairie:logical:x', until: 'infinity', reason: 'audit', by: 'dba' } as const;
  await expect(runInspection<'hold'>(session, hold)).rejects.toBe(refusal);
  expect(kept).toEqual([expect.stringMatching(/^record\/hold\//)]);
});

it('K2: a host that has just died seems to have a worker; the one that its cluster can be recovered onto answers in its place', async () => {
  const neverStarted = Object.assign(new Error('failed'), {
    cause: { name: 'TimeoutFailure', timeoutType: 'SCHEDULE_TO_START' },
  });
  const answers = ({ host }: Asked) => (host === 'gone' ? Promise.reject(neverStarted) : { kept: [] });
  const { session, started } = site(['gone', 'db2'], answers);
  const alone = site(['gone'], answers);
  const one = { kind: 'incident', id: 'incident/mairie/x' } as const;
  expect(await runInspection<'incident'>(site(['db2'], answers).session, one)).toEqual({ kept: [] });
  await runInspection<'incident'>(session, one);
  expect(started).toContain('answer incident on reprise-db2');
  await expect(runInspection<'incident'>(alone.session, one)).rejects.toMatchObject({
    code: 'host-without-worker',
    hint: expect.stringContaining('reprise worker --host gone'),
  });
  // Of all clusters: the other host tells of its own, which it did already.
  await expect(runInspection<'kept'>(session, { kind: 'kept' })).rejects.toMatchObject({
    code: 'host-without-worker',
  });
});

it('K2: of a host whose pollers are found gone while it is asked, another one that knows is asked', async () => {
  const gone = new RepriseError('host-without-worker', 'no worker polls the queue reprise-db1');
  const { session, started } = site(['db1', 'staging1'], ({ host }) =>
    host === 'db1' ? Promise.reject(gone) : { kept: [] },
  );
  expect(await runInspection<'incident'>(session, { kind: 'incident', id: 'incident/mairie/x' })).toEqual({ kept: [] });
  expect(started).toContain('answer incident on reprise-staging1');
  const alone = site(['db1'], () => Promise.reject(gone));
  await expect(runInspection<'kept'>(alone.session, { kind: 'kept' })).rejects.toBe(gone);
});
