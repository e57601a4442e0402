import { describe, expect, it } from '@jest/globals';
import { holdsFor, readCountQuery } from '../../../../src/domain/table/count-query.js';

describe('queries that only count one table', () => {
  it('the table of a counting query is known only where the query does nothing else', () => {
    expect(readCountQuery('SELECT count(*) FROM metier.demandes_rdv')).toEqual({
      ...{ schema: 'metier', table: 'demandes_rdv' },
      ...{ only: false, compared: null },
    });
    expect(readCountQuery(' select COUNT( * ) from ONLY "A ""b""" . Tab ; ')).toMatchObject({
      ...{ schema: 'A "b"', table: 'tab', only: true },
    });
    expect(readCountQuery('SELECT count(*) FROM t')).toMatchObject({ schema: 'public', table: 't' });
    for (const other of [
      'SELECT count(*) FROM t WHERE x',
      'SELECT count(i) FROM t',
      'SELECT count(*) FROM t, u',
      'SELECT count(*) > 5 OR true FROM t',
      'SELECT count(*) > -5 FROM t',
      'SELECT count(*) 5 FROM t',
      'SELECT 1',
    ])
      expect(readCountQuery(other)).toBeNull();
  });

  it.each([
    ['> 100', [101], [100]],
    ['>=100', [100], [99]],
    ['= 100', [100], [99, 101]],
    ['< 100', [99], [100]],
    ['<=100', [100], [101]],
    ['<> 100', [99], [100]],
    ['!= 100', [99], [100]],
  ])('T5: what a count is compared with is known: %s', (compared, holds, fails) => {
    const read = readCountQuery(`SELECT count(*) ${compared} FROM metier.rdv`);
    expect(read).toMatchObject({ schema: 'metier', table: 'rdv' });
    for (const rows of holds) expect(holdsFor(read!, rows)).toBe(true);
    for (const rows of fails) expect(holdsFor(read!, rows)).toBe(false);
  });

  it('what compares with nothing says nothing', () => {
    expect(holdsFor({ compared: null }, 5)).toBeNull();
  });
});
