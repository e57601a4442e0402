import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { formatTableName, parseTableName } from '../../../../src/domain/table/table-name.js';

describe('names of tables', () => {
  test.each([
    ['metier.demandes_rdv', 'metier', 'demandes_rdv'],
    ['Metier.Demandes', 'metier', 'demandes'],
    ['"Métier"."a.""b"', 'Métier', 'a."b'],
    [' été.zone ', 'été', 'zone'],
    // PostgreSQL folds ASCII letters alone.
    ['Public.ÉCOLE', 'public', 'École'],
  ])('%s', (text, schema, table) => {
    expect(parseTableName(text)).toEqual({ schema, table });
  });

  test.each(['orders', 'a.b.c', '1a.b', 'a."', '', '"".x', 'a b.c'])('%s is refused', (text) => {
    expect(() => parseTableName(text)).toThrow('is not the name of a table');
  });

  test('a longer name than PostgreSQL keeps is refused: it would be another table', () => {
    expect(() => parseTableName(`s.${'é'.repeat(32)}`)).toThrow('longer than 63 bytes');
  });

  test('what is formatted is read back, whatever the names are', () => {
    const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 }).filter((one) => !one.includes('\0'));
    fc.assert(
      fc.property(name, name, (schema, table) => {
        if ([schema, table].some((one) => Buffer.byteLength(one) > 63)) return;
        expect(parseTableName(formatTableName({ schema, table }))).toEqual({ schema, table });
      }),
    );
  });
});
