import { expect, it } from '@jest/globals';
import { didYouMean, nearest } from '../../../src/config/suggest.js';

const known = ['retention', 'repository', 'schedule', 'proof'];

it('F38: suggests what was probably meant, and nothing far-fetched', () => {
  expect(
    ['retnetion', 'Retention', 'retenton', 'rentetion', 'repositroy', 'shedul', 'prof'].map((word) =>
      nearest(word, known),
    ),
  ).toEqual(['retention', 'retention', 'retention', 'retention', 'repository', 'schedule', 'proof']);
  expect(['banana', 'x', '', 'pro', 'reset'].map((word) => nearest(word, known))).toEqual([
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
});

it('otherwise names all there are', () => {
  expect(didYouMean('banana', ['logical', 'pgbackrest'], 'engines')).toBe('known engines: logical, pgbackrest');
  expect(didYouMean('dba', [], 'contacts')).toBe('there are no contacts');
});
