import { expect, it } from '@jest/globals';
import type { CheckContext } from '../../../src/checks/check.js';
import type { ClusterContext } from '../../../src/activities/cluster-context.js';
import { configuredChecks } from '../../../src/activities/table/finish-repair.js';
import { checkKinds } from '../../../src/checks/registry.js';

it('T7: after a repair the checks of the configuration that ask its database are run, and the others are named', async () => {
  const asked: CheckContext[] = [];
  const checks = {
    enough: { name: 'enough', type: 'sql', options: { database: 'mairie', query: 'x', min: 1 } },
    bad: { name: 'bad', type: 'sql', options: { database: 'mairie', query: 'bad', min: 1 } },
    elsewhere: { name: 'elsewhere', type: 'sql', options: { database: 'other', query: 'x', min: 1 } },
    off: { name: 'off', type: 'sql', enabled: false, options: { database: 'mairie', query: 'x', min: 1 } },
    site: { name: 'site', type: 'http', options: { url: 'http://127.0.0.1:1/' } },
    rows: { name: 'rows', type: 'row-counts', options: {} },
  };
  const context = {
    cluster: { connection: { host: 'db' }, checksRole: 'reader', checks },
    deps: {
      checkOf: (type: string) => ({
        ...checkKinds[type],
        run: async (given: CheckContext, { query }: { readonly query?: string }) => {
          asked.push(given);
          return query === 'bad'
            ? { status: 'failed', detail: '0, expected at least 1' }
            : { status: 'passed', detail: '7' };
        },
      }),
    },
  } as unknown as ClusterContext;
  const { signal } = new AbortController();
  expect(await configuredChecks(context, 'mairie', { signal, report: () => undefined })).toEqual([
    { name: 'check enough', status: 'ok', detail: '7' },
    { name: 'check bad', status: 'failed', detail: '0, expected at least 1' },
    { name: 'check elsewhere', status: 'skipped', detail: 'database other was not repaired' },
    { name: 'check site', status: 'skipped', detail: 'of type http: run after a recovery and in drills only' },
    { name: 'check rows', status: 'skipped', detail: 'of type row-counts: run after a recovery and in drills only' },
  ]);
  expect(asked).toHaveLength(2);
  expect(asked[0]).toMatchObject({ checksRole: 'reader', recorded: [], recordedIsExact: false });
});
