import { expect, it } from '@jest/globals';
import { concerns } from '../../../src/client/checks/check.js';

it('O18: check repeats what doctor finds of databases that no policy backs up: a new one may come at any hour', () => {
  const scope = { clusters: ['mairie'], hosts: ['db1'], recoveryHosts: [], repositories: ['local'] };
  expect(concerns('cluster/mairie/uncovered', scope)).toBe(true);
  expect(concerns('cluster/other/uncovered', scope)).toBe(false);
  // What only a change of the configuration mends is doctor's alone.
  expect(concerns('cluster/mairie/hooks', scope)).toBe(false);
});
