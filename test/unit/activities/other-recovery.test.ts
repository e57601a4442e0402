import { expect, it } from '@jest/globals';
import { otherRecovery } from '../../../src/activities/recovery/answers-again.js';
import { openHostState } from '../../../src/records/host-state.js';
import { tempDir } from '../../helpers/temp.js';
import { samplePlan } from '../records/samples.js';

it('O1: of a cluster that answers again an incident is told which recovery brought it back, that somebody else had started', async () => {
  const stateDir = await tempDir('state');
  const state = openHostState(stateDir);
  const here = { cluster: { name: 'mairie' }, host: { stateDir } } as never;
  const waiting = samplePlan({ operationId: 'incident-1' });
  const beside = samplePlan({ operationId: 'copy-1', into: 'beside' });
  const other = samplePlan({ operationId: 'by-hand' });
  for (const plan of [waiting, beside, other]) await state.savePlan(plan);
  await state.markUsed(beside.digest, 'copy-1');
  expect(await otherRecovery(here, 'incident-1', undefined)).toBeNull();
  await state.markUsed(other.digest, 'by-hand');
  expect(await otherRecovery(here, 'incident-1', '2026-01-01T00:00:00Z')).toBe('recover/mairie/by-hand');
  expect(await otherRecovery(here, 'by-hand', undefined)).toBeNull();
  // One that was over before the silence began has not ended it.
  expect(await otherRecovery(here, 'incident-1', new Date(Date.now() + 60_000).toISOString())).toBeNull();
});
