import { expect, it } from '@jest/globals';
import { s3Failure } from '../../../src/storage/s3/failures.js';
import type { S3Options } from '../../../src/storage/s3/options.js';

const options = { bucket: 'asso' } as S3Options;
const failed = (name: string, date: Date) => ({
  ...{ name, message: 'refused', $metadata: { httpStatusCode: 403 } },
  $response: { headers: { date: date.toUTCString() } },
});

it('W17: a request that the storage refuses for its time says that the clock is wrong, and not to give the key a right', () => {
  const told = {
    code: 'storage-refused',
    message: expect.stringContaining('clock is wrong'),
    hint: expect.stringContaining('timedatectl'),
  };
  expect(s3Failure(failed('RequestTimeTooSkewed', new Date()), options, 'to read x')).toMatchObject(told);
  // A HEAD has no body, and a signature of another hour may be refused as a wrong one.
  const hour = new Date(Date.now() - 3_600_000);
  for (const name of ['UnknownError', 'SignatureDoesNotMatch'])
    expect(s3Failure(failed(name, hour), options, 'to read x')).toMatchObject(told);
  // No right is probed as missing by it.
  expect(s3Failure(failed('AccessDenied', hour), options, 'to read x').details).not.toHaveProperty('status');
  expect(s3Failure(failed('AccessDenied', new Date()), options, 'to read x').hint).toContain('give this key the right');
});
