/** Calls of one command under way at once: an embedded server on two cores answers no faster with more. */
const AT_ONCE = 32;

/** Told after each item. */
export type Report = (done: number, total: number) => void;

/** Does the same for each of many on the server, some at once; results in the order of the items. The first failure is thrown. */
export async function manyAtOnce<T, R>(
  items: readonly T[],
  run: (item: T) => Promise<R>,
  report?: Report,
): Promise<readonly R[]> {
  if (items.length === 0) return [];
  const { default: pMap } = await import('p-map');
  let done = 0;
  return pMap(
    items,
    async (item) => {
      const result = await run(item);
      report?.((done += 1), items.length);
      return result;
    },
    { concurrency: AT_ONCE },
  );
}
