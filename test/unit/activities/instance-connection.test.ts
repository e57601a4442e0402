import { expect, it } from '@jest/globals';
import type { RecoveryMethod } from '../../../src/domain/plan/plan.js';
import { instanceConnection } from '../../../src/activities/temporary/planned-restore.js';

it('M2: a copy of a cluster is asked in the database in which the cluster itself is: the one called postgres may have been dropped', () => {
  const connectionOf = (method: RecoveryMethod) =>
    instanceConnection({
      clusterContext: { cluster: { connection: { user: 'reprise', maintenanceDatabase: 'admin' } } },
      planned: { method },
      instance: { dataDir: '/scratch/explore/data' },
    } as unknown as Parameters<typeof instanceConnection>[0]);
  expect(connectionOf('data-directory')).toMatchObject({ user: 'reprise', maintenanceDatabase: 'admin' });
  // What initdb has made.
  expect(connectionOf('databases')).toMatchObject({ user: 'postgres', maintenanceDatabase: 'postgres' });
});
