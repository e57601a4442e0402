import { beforeAll, describe, expect, it } from '@jest/globals';
import { WithStartWorkflowOperation } from '@temporalio/client';
import { CONTROL_QUEUE, queryNames, updateNames } from '../../src/domain/names.js';
import type { LockAnswer, LockHolder, LockRequest } from '../../src/domain/locks.js';
import { Lab } from './lab.js';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.start();
});
it('x', async () => {
  const c = lab.case();
  await c.start('recover', 'recover/CLUSTER/op', { target: { kind: 'latest' }, into: 'in-place', pause: false, operationId: 'op', requester: 'dba' });
  const s = await c.state('waiting-approval');
  await c.workflow.signal('confirm-restore', { plan: s.plan, by: 'x', reason: 'y' });
  console.log(JSON.stringify(await c.workflow.result()));
  console.log(c.names.join(' '));
});
