import { afterAll } from '@jest/globals';

type Cleanup = () => Promise<unknown>;
const cleanups: Cleanup[] = [];

/**
 * Has something undone at the end of this test file, last first, also where a test failed. It may be called
 * inside a test, where jest allows no hook to be added.
 */
export function onCleanup(cleanup: Cleanup): void {
  cleanups.push(cleanup);
}

afterAll(async () => {
  const problems: unknown[] = [];
  for (let next = cleanups.pop(); next !== undefined; next = cleanups.pop()) {
    // One that fails must not keep the others from running.
    await next().catch((problem: unknown) => problems.push(problem));
  }
  if (problems.length > 0) throw new AggregateError(problems, `cleaning up failed: ${problems.map(String).join('; ')}`);
}, 900_000);
