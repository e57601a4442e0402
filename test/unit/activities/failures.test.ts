import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { toFailure } from '../../../src/activities/activity-wrapper.js';
import { findPostgresBin } from '../../../src/process/exec/find-programs.js';
import { tempDir } from '../../helpers/temp.js';

async function failureOf(work: () => Promise<unknown>): Promise<ReturnType<typeof toFailure>> {
  return toFailure(
    await work().then(
      () => undefined,
      (error: unknown) => error,
    ),
  );
}

delete process.env['REPRISE_PG_BIN'];

test('a program that is not installed is told as that, with the package, and not as an internal error', async () => {
  const failure = await failureOf(() => findPostgresBin(7));
  expect(failure).toMatchObject({ type: 'tool-missing', message: 'PostgreSQL 7 was not found', nonRetryable: true });
  expect(failure.details).toEqual([{ hint: expect.stringContaining('apt-get install postgresql-7') }]);
});

test.each([
  ['ENOSPC', 'disk-full', 'Free space'],
  ['EDQUOT', 'disk-full', 'Free space'],
  ['EACCES', 'privilege-missing', 'Check the owner'],
  ['EROFS', 'privilege-missing', 'Check the owner'],
])('%s of a file operation is %s, with a hint', (code, type, hint) => {
  const error = Object.assign(new Error(`${code}: refused, open '/srv/x'`), { code, syscall: 'open', path: '/srv/x' });
  const failure = toFailure(error);
  expect(failure).toMatchObject({ type, nonRetryable: true });
  expect(failure.message).toContain("open '/srv/x'");
  expect(failure.details).toEqual([{ hint: expect.stringContaining(hint) }]);
});

test('what has no name of ours stays internal, with its stack for whoever mends it', async () => {
  const directory = await tempDir('failures');
  expect(await failureOf(() => readFile(join(directory, 'nothing')))).toMatchObject({ type: 'internal' });
  expect(toFailure(new TypeError('x is undefined'))).toMatchObject({
    type: 'internal',
    message: expect.stringContaining('at '),
  });
});
