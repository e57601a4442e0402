import { expect, it } from '@jest/globals';
import { LOGICAL_TOOLS } from '../../../../src/engines/logical/tool-rules.js';
import { toolFailure } from '../../../../src/process/exec/tool-rules.js';

it.each([
  ['F5', 'pg_dump: error: could not write to output file: No space left on device', 'storage-full'],
  [
    'F19',
    'pg_dump: error: query failed: ERROR:  query would be affected by row-level security policy for table "t"',
    'privilege-missing',
  ],
  ['F20', 'pg_dump: error: query failed: ERROR:  permission denied for large object 16391', 'privilege-missing'],
  ['F17', 'pg_dump: error: aborting because of server version mismatch', 'version-mismatch'],
  ['F3', 'pg_dump: error: query failed: server closed the connection unexpectedly', 'database-unreachable'],
  ['F3', '', 'tool-failed'],
])('%s: %s', (_fault, stderr, code) => {
  expect(toolFailure(LOGICAL_TOOLS, { name: 'pg_dump', exitCode: 1, output: stderr }).code).toBe(code);
});

it('F39: of what age says of a key nothing is repeated but the known reasons', () => {
  const meant = (output: string) => toolFailure(LOGICAL_TOOLS, { name: 'pg_restore', exitCode: 3, output });
  const secret = 'AGE-SECRET-KEY-1QQQQ';
  expect(
    meant(`age: error: malformed secret key: ${secret}\npg_restore: error: input file is too short`),
  ).toMatchObject({
    code: 'key-missing',
    message: 'pg_restore: the key of this host could not be read',
  });
  expect(meant('age: error: reading "/etc/key": open /etc/key: permission denied').message).toBe(
    'pg_restore: the key of this host could not be read: permission denied',
  );
});
