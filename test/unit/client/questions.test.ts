import { expect, it } from '@jest/globals';
import type { TemporalSession } from '../../../src/client/connect.js';
import { eachByItself, findingsOf } from '../../../src/client/checks/temporal-findings.js';
import { ok, warning } from '../../../src/domain/findings.js';

it('D6: a question that Temporal does not answer is a finding, told once, and what else was found stays', async () => {
  const late = Object.assign(new Error('4 DEADLINE_EXCEEDED: context deadline exceeded'), {
    code: 4,
    details: 'context deadline exceeded',
  });
  const found = await eachByItself([
    () => Promise.resolve([ok('schedules', 'the schedules agree')]),
    () => Promise.reject(late),
    () => Promise.reject(late),
    () => Promise.resolve([warning('watch/mairie', 'it does not run', 'reprise schedule apply')]),
  ]);
  expect(found.map(({ check, level }) => [check, level])).toEqual([
    ['schedules', 'ok'],
    ['temporal/unanswered', 'problem'],
    ['watch/mairie', 'warning'],
  ]);
  expect(found[1]?.message).toContain('context deadline exceeded');
});

it('D6: who polls the queues is read once for all questions about it; unread, it leaves what else was found', async () => {
  const asked: string[] = [];
  const late = Object.assign(new Error('4 DEADLINE_EXCEEDED: late'), { code: 4, details: 'late' });
  const unread = (): AsyncIterable<never> => ({
    [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(late) }),
  });
  const session = {
    settings: { address: '127.0.0.1:7233', namespace: 'default', origin: 'flag', connection: {} },
    connection: {
      workflowService: {
        describeTaskQueue: ({ taskQueue, taskQueueType }: { taskQueue: { name: string }; taskQueueType: number }) => {
          asked.push(`${taskQueue.name} ${taskQueueType}`);
          return Promise.reject(late);
        },
      },
      operatorService: {
        listSearchAttributes: () => Promise.resolve({ customAttributes: { RepriseState: 2 } }),
      },
    },
    client: { schedule: { list: unread }, workflow: { list: unread } },
  } as unknown as TemporalSession;
  const { findings, answeredHosts } = await findingsOf(session, { hosts: { db1: {} }, clusters: {} } as never);
  expect(findings.map(({ check }) => check)).toEqual(expect.arrayContaining(['temporal', 'search-attributes']));
  expect(
    findings.filter(({ check, message }) => check === 'temporal/unanswered' && message.includes('late')),
  ).toHaveLength(1);
  expect(answeredHosts).toEqual([]);
  expect(asked.length).toBeGreaterThan(3);
  expect(new Set(asked).size).toBe(asked.length);
});
