import { describe, expect, it } from '@jest/globals';
import { recordText } from '../../../src/demo/model/record-text.js';
import { timestampText } from '../../../src/demo/model/row.js';

describe('recordText', () => {
  it.each([
    [['1', 'Paris'], '(1,Paris)'],
    [['1', null, ''], '(1,,"")'],
    [["L'Haÿ-les-Roses", 'Bors (Canton de Charente-Sud)'], '(L\'Haÿ-les-Roses,"Bors (Canton de Charente-Sud)")'],
    [['a,b', 'say "x"', 'back\\slash'], '("a,b","say ""x""","back\\\\slash")'],
    [['2026-01-05 08:30:00+00'], '("2026-01-05 08:30:00+00")'],
  ])('prints %j as PostgreSQL does', (row, text) => {
    expect(recordText(row)).toBe(text);
  });
});

describe('timestampText', () => {
  it.each([
    ['2026-01-05T08:30:00.000Z', '2026-01-05 08:30:00+00'],
    ['2026-01-05T08:30:10.250Z', '2026-01-05 08:30:10.25+00'],
    ['2026-01-05T08:30:10.100Z', '2026-01-05 08:30:10.1+00'],
    ['2026-01-05T08:30:10.001Z', '2026-01-05 08:30:10.001+00'],
    ['2026-01-05T08:30:10.010Z', '2026-01-05 08:30:10.01+00'],
  ])('prints %s as PostgreSQL does in UTC', (iso, text) => {
    expect(timestampText(new Date(iso))).toBe(text);
  });
});
