import { expect, it } from '@jest/globals';
import { eachByItself } from '../../../src/client/checks/temporal-findings.js';
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
