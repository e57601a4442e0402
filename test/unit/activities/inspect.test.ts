import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { expect, it } from '@jest/globals';
import { type Inspection, type PagedAnswer, isPaged } from '../../../src/domain/operation/inspections.js';
import { tempDir } from '../../helpers/temp.js';
import type { HostDependencies } from '../../../src/activities/dependencies.js';
import { PAGE_CHARS } from '../../../src/activities/inspection/answer-pages.js';
import { createHostActivities } from '../../../src/activities/index.js';

const ask = (kind: string) =>
  new MockActivityEnvironment({}, { logger: new DefaultLogger('ERROR') }).run(
    createHostActivities({ config: { clusters: {} }, host: 'db1' } as unknown as HostDependencies).answer,
    { question: { kind } as never, host: 'db1' },
  );

it.each(['toString', 'constructor', '__proto__', 'hasOwnProperty', 'nonsense'])(
  'an inspection of the kind %s is refused, and nothing that every object has is called',
  async (kind) => {
    await expect(ask(kind)).rejects.toMatchObject({
      type: 'usage',
      message: `the worker of this host does not know the request "${kind}"`,
    });
  },
);

it('an inspection of a known kind is answered', async () => {
  expect(await ask('incidents')).toEqual({ incidents: [] });
});

it('L13: an answer that is too long for one payload is read in pages, and each of them is far below 2 MB', async () => {
  const stateDir = await tempDir('answers');
  const findings = Array.from({ length: 40_000 }, (_, index) => ({
    check: `é"${index}`,
    level: 'ok' as const,
    message: 'm'.repeat(100),
    fix: null,
  }));
  const { answer } = createHostActivities({
    config: { clusters: {}, hosts: { db1: { name: 'db1', stateDir } }, digest: 'd' },
    host: 'db1',
    inspectHost: async () => findings,
  } as unknown as HostDependencies);
  const environment = new MockActivityEnvironment({}, { logger: new DefaultLogger('ERROR') });
  const question = (one: Inspection) => environment.run(answer, { question: one, host: 'db1' });
  const whole = (await question({ kind: 'host', host: 'db1' })) as PagedAnswer;
  expect(isPaged(whole)).toBe(true);
  const { host, id, pages } = whole.paged;
  expect(pages).toBeGreaterThan(50);
  let text = '';
  for (let page = 0; page < pages; page++) {
    const part = (await question({ kind: 'page', host, id, page })) as { text: string };
    expect(Buffer.byteLength(JSON.stringify(part))).toBeLessThan(256_000);
    text += part.text;
  }
  expect(text.length).toBeGreaterThan(PAGE_CHARS * (pages - 1));
  expect((JSON.parse(text) as { findings: unknown[] }).findings).toEqual(expect.arrayContaining(findings.slice(-3)));
  expect((JSON.parse(text) as { findings: unknown[] }).findings).toHaveLength(40_001);
  await expect(question({ kind: 'page', host, id: '../plans/x', page: 0 })).rejects.toMatchObject({
    type: 'not-found',
  });
});
