import { expect, it } from '@jest/globals';
import { thawInWords, thawPollSeconds, thawTiers } from '../../../src/domain/plan/thaw.js';

it('F13: the tiers that every class in it knows, with the longest wait', () => {
  expect(thawTiers(['GLACIER'])).toMatchObject([
    { tier: 'Expedited' },
    { tier: 'Standard', hours: 5 },
    { tier: 'Bulk', hours: 12 },
  ]);
  expect(thawTiers(['GLACIER', 'DEEP_ARCHIVE'])).toEqual([
    { tier: 'Standard', hours: 12 },
    { tier: 'Bulk', hours: 48 },
  ]);
  expect(thawTiers([])).toEqual([]);
});

it('F13: whoever approves reads tier, hours, price, and what else there is', () => {
  const choices = [
    { tier: 'Standard' as const, hours: 12, price: 0.06 },
    { tier: 'Bulk' as const, hours: 48, price: null },
  ];
  expect(
    thawInWords(
      { tier: 'Standard', days: 7 },
      { objects: 3, bytes: 3e9, storageClasses: ['DEEP_ARCHIVE'], choices, currency: 'EUR' },
    ),
  ).toEqual([
    '3 files (3.0 GB) in DEEP_ARCHIVE: Standard, up to 12 h 00 min, 0.06 EUR; readable for 7 days',
    'instead, with --thaw-tier Bulk: Bulk, up to 2 d 00 h, price not known',
  ]);
});

it('F40: a wait of two days is some hundred looks, one of five minutes some ten', () => {
  expect((48 * 3600) / thawPollSeconds(48)).toBe(96);
  expect(thawPollSeconds(12)).toBe(1800);
  expect(thawPollSeconds(5 / 60)).toBe(30);
});
