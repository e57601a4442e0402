import { expect, it } from '@jest/globals';
import { toolError } from '../../../../src/engines/logical/dump-errors.js';

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
  expect(toolError('pg_dump', stderr).code).toBe(code);
});
