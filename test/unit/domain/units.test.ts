import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { parseDuration, parseSize } from '../../../src/domain/text/units.js';

describe('durations', () => {
  it('are read in their units', () => {
    expect(['90s', '5m', '4h', '7d'].map(parseDuration)).toEqual([90, 300, 14_400, 604_800]);
  });

  it('F38: what is no duration is refused, zero included', () => {
    for (const text of [
      '',
      '0s',
      '-1h',
      '5',
      '5 m',
      '1h30m',
      '1.5h',
      '05m',
      '5M',
      '1w',
      '1e3s',
      '٣s',
      '5m\n',
      '1234567890s',
    ]) {
      expect(() => parseDuration(text)).toThrow(
        expect.objectContaining({ code: 'usage', hint: 'expected a duration such as 90s, 5m, 4h or 7d' }),
      );
    }
  });

  it('grow with the number, each unit by its seconds', () => {
    const unit = fc.constantFrom<[string, number]>(['s', 1], ['m', 60], ['h', 3600], ['d', 86_400]);
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 999_999_999 }),
        unit,
        (amount, [name, seconds]) => parseDuration(`${amount}${name}`) === amount * seconds,
      ),
    );
  });
});

describe('sizes', () => {
  it('tell decimal units from binary ones', () => {
    expect(['500MB', '2GiB', '1kB', '1KiB', '1.5GiB', '7B'].map(parseSize)).toEqual([
      500e6,
      2 ** 31,
      1000,
      1024,
      1.5 * 2 ** 30,
      7,
    ]);
  });

  it('F38: what is no size is refused', () => {
    for (const text of ['', '0MB', '-1MB', '5', '5 MB', '5mb', '5M', '1e3MB', '1.2345GB', '999999999TiB']) {
      expect(() => parseSize(text)).toThrow(expect.objectContaining({ code: 'usage' }));
    }
  });

  it('are whole bytes, and grow with the number', () => {
    const unit = fc.constantFrom('B', 'kB', 'MB', 'GB', 'KiB', 'MiB', 'GiB');
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9998 }), unit, (amount, name) => {
        const bytes = parseSize(`${amount}${name}`);
        return (
          Number.isSafeInteger(bytes) &&
          bytes === amount * parseSize(`1${name}`) &&
          bytes < parseSize(`${amount + 1}${name}`)
        );
      }),
    );
  });
});
