import { expect, it } from '@jest/globals';
import { fastestThaw, isCold, minimumCharge } from '../../../src/domain/storage/storage-classes.js';

it('F13: DEEP_ARCHIVE knows no Expedited; what is not archived needs no thaw', () => {
  expect(fastestThaw('DEEP_ARCHIVE')).toEqual({ tier: 'Standard', hours: 12 });
  expect(fastestThaw('GLACIER')?.tier).toBe('Expedited');
  expect(['STANDARD', 'STANDARD_IA', 'GLACIER_IR', 'SOMETHING_NEW'].filter(isCold)).toEqual([]);
});

it('P3: minimum charges are named for the classes that have them', () => {
  expect(minimumCharge('STANDARD')).toBeNull();
  expect(minimumCharge('DEEP_ARCHIVE')).toBe(
    'DEEP_ARCHIVE is charged for at least 180 days, however soon it is removed, with 40 KiB more for each object',
  );
});
