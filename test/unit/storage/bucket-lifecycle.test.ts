import { expect, it } from '@jest/globals';
import { GetBucketLifecycleConfigurationCommand } from '@aws-sdk/client-s3';
import type { S3Bucket } from '../../../src/storage/s3/client.js';
import { lifecycle } from '../../../src/storage/s3/settings/lifecycle.js';
import { readS3Options } from '../../../src/storage/s3/options.js';

/** What is sent for the small objects of a bucket that has `found`; undefined: nothing. */
async function sent(found: string | undefined, wanted: Readonly<Record<string, number>>): Promise<unknown> {
  const options = readS3Options({ bucket: 'dumps', region: 'eu-west-3', lifecycle: wanted });
  const inputs: Readonly<Record<string, unknown>>[] = [];
  const send = async (command: { readonly input: Readonly<Record<string, unknown>> }) => {
    if (command instanceof GetBucketLifecycleConfigurationCommand)
      return { Rules: [], TransitionDefaultMinimumObjectSize: found };
    inputs.push(command.input);
    return {};
  };
  await lifecycle.change({ options, send } as unknown as S3Bucket);
  return inputs[0]?.['TransitionDefaultMinimumObjectSize'];
}

it('P3: what small objects of the whole bucket do is changed only where a class for archives is asked for', async () => {
  expect(await sent('varies_by_storage_class', { noncurrent_expire_days: 30 })).toBe('varies_by_storage_class');
  expect(await sent('varies_by_storage_class', { deep_archive_days: 60 })).toBe('all_storage_classes_128K');
  expect(await sent(undefined, { noncurrent_expire_days: 30 })).toBeUndefined();
  expect(await sent(undefined, { noncurrent_deep_archive_days: 30 })).toBe('all_storage_classes_128K');
});
