import { describe, expect, it } from '@jest/globals';
import { boundedPreview, joinAdoptions } from '../../../src/domain/backup/adoption.js';

const adopted = (id: string, proven: boolean) => ({ id, from: null, proven, detail: '' });

describe('F40: results of an adoption fit into a history', () => {
  it('names a thousand of each list and counts the rest; what failed is always among them', () => {
    const many = Array.from({ length: 1500 }, (_, index) => adopted(`b${index}`, index !== 1499));
    const refused = Array.from({ length: 1200 }, (_, index) => ({ name: `f${index}`, reason: 'empty' }));
    const joined = joinAdoptions([{ adopted: many, refused, known: 2 }]);
    expect([joined.adopted.length, joined.refused.length, joined.known, joined.unlisted]).toEqual([1000, 1000, 2, 700]);
    expect(joined.adopted[0]?.id).toBe('b1499');
    expect(joinAdoptions([joined, joined]).unlisted).toBe(700 * 2 + 2000);
    expect(boundedPreview({ policies: ['p'], adopt: [], refused, known: 0 }).unlisted).toBe(200);
  });

  it('joins what several policies did', () => {
    const one = { adopted: [adopted('a', true)], refused: [], known: 1 };
    const other = { adopted: [adopted('b', false)], refused: [{ name: 'x', reason: 'y' }], known: 2 };
    expect(joinAdoptions([one, other])).toEqual({
      adopted: [adopted('b', false), adopted('a', true)],
      refused: [{ name: 'x', reason: 'y' }],
      known: 3,
    });
  });
});
