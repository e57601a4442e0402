import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { expect, it } from '@jest/globals';
import type { HostDependencies } from '../../../src/activities/dependencies.js';
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
