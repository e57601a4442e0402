import { expect, it } from '@jest/globals';
import { Retries } from '../../../src/domain/operation/retries.js';

const HOUR = 3_600_000;

/** Fails at once in each attempt: the pauses in seconds, and when people are told. */
function failing(limits: ConstructorParameters<typeof Retries>[0] = {}) {
  const retries = new Retries(limits, 0);
  const pauses: number[] = [];
  let now = 0;
  let toldAt: number | null = null;
  for (;;) {
    const pause = retries.failed(now);
    if (pause === null) return { pauses, toldAt, gaveUpAt: now };
    if (toldAt === null && retries.isLong(now)) toldAt = now;
    pauses.push(pause / 1000);
    now += pause;
  }
}

it('L9: the pauses grow from a second to 5 minutes, for six hours; people are told after some failures', () => {
  const { pauses, toldAt, gaveUpAt } = failing();
  expect(pauses.slice(0, 11)).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
  expect(Math.max(...pauses)).toBe(300);
  expect(pauses.length).toBeLessThan(90);
  expect(gaveUpAt).toBe(6 * HOUR);
  expect(toldAt).toBe(15_000);
});

it('L9: the time is that of the config, and the last attempt comes at its end', () => {
  const { pauses, gaveUpAt } = failing({ retryForSeconds: 10 });
  expect(pauses).toEqual([1, 2, 4, 3]);
  expect(gaveUpAt).toBe(10_000);
});

it('L9: attempts that take long are told of at the second failure, and a single one of nobody', () => {
  const retries = new Retries({}, 0);
  expect(retries.failed(3 * HOUR)).toBe(1000);
  expect(retries.isLong(3 * HOUR)).toBe(false);
  retries.failed(6 * HOUR);
  expect(retries.isLong(6 * HOUR)).toBe(true);
  // Six hours after the first failure, however long the step had worked before it.
  expect(retries.failed(9 * HOUR)).toBeNull();
});
