import { expect, it } from '@jest/globals';
import type { TemporalSession } from '../../../src/client/connect.js';
import { runInspection } from '../../../src/client/inspect.js';
import type { Inspection } from '../../../src/domain/operation/inspections.js';

/** A server whose host answers each question as given. */
function sessionOf(answer: (question: Inspection) => unknown): TemporalSession {
  const start = async (_type: string, { args: [{ question }] }: { args: [{ question: Inspection }] }) => ({
    workflowId: 'inspect/x',
    result: async () => answer(question),
  });
  return { client: { workflow: { start } } } as unknown as TemporalSession;
}

it('L13: an answer in pages is read from each host that keeps one, and those of several hosts come as one', async () => {
  const kept = JSON.stringify({ backups: [{ id: 'a' }, { id: 'b' }] });
  const asked: string[] = [];
  const session = sessionOf((question) => {
    asked.push(question.kind);
    if (question.kind !== 'page')
      return { parts: [{ paged: { host: 'db1', id: 'x', pages: 3 } }, { backups: [{ id: 'c' }] }] };
    const third = Math.ceil(kept.length / 3);
    return { text: kept.slice(question.page * third, (question.page + 1) * third) };
  });
  expect(await runInspection<'backups'>(session, { kind: 'backups' })).toEqual({
    backups: [{ id: 'a' }, { id: 'b' }, { id: 'c' }],
  });
  expect(asked).toEqual(['backups', 'page', 'page', 'page']);
});

it('a short answer is what the host said', async () => {
  expect(
    await runInspection<'kept'>(
      sessionOf(() => ({ kept: [] })),
      { kind: 'kept' },
    ),
  ).toEqual({ kept: [] });
});
