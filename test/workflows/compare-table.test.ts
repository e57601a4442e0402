import { beforeAll, expect, it } from '@jest/globals';
import { workflowTypes } from '../../src/domain/operation/names.js';
import { Lab, failure, failureOfWorkflow } from './lab.js';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.start();
});

const id = 'table-compare/CLUSTER/op';
const order = {
  ...{ database: 'mairie', table: { schema: 'metier', table: 'demandes_rdv' }, samples: 20 },
  good: { kind: 'backup', id: 'mairie:pgbackrest:one' },
};
const input = { order, requester: 'ops', operationId: 'op' };

it('T1: a table is compared with a temporary instance of the one database, which is removed then', async () => {
  const one = lab.case();
  const handle = await one.start(workflowTypes.compareTable, id, input);
  expect(await handle.result()).toMatchObject({
    ...{ missing: 1, changed: 2, extra: 3, same: 4, backups: ['mairie:pgbackrest:one'] },
  });
  expect(one.names).toEqual(['planInstance', 'openInstance', 'compareTable', 'closeInstance']);
  expect(one.of('planInstance')).toMatchObject([
    { instance: 'good', order: { target: order.good, databases: ['mairie'] } },
  ]);
  expect(await one.status()).toMatchObject({ kind: 'table-compare', state: 'completed' });
});

it('T1: a comparison that fails, or is called off, removes its temporary instance too', async () => {
  const gone = async (): Promise<never> => {
    throw failure('not-found', 'there is no table metier.demandes_rdv in production');
  };
  const failed = lab.case({ compareTable: gone });
  expect(await failureOfWorkflow(await failed.start(workflowTypes.compareTable, id, input))).toMatchObject({
    type: 'not-found',
  });
  expect(failed.names.at(-1)).toBe('closeInstance');
});
