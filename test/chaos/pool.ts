/** Starts tasks in order, so many at a time; each outcome can be awaited by name. */
export function inPool<T>(tasks: ReadonlyMap<string, () => Promise<T>>, atOnce: number): ReadonlyMap<string, Promise<T>> {
  const waiting: (() => void)[] = [];
  let free = atOnce;
  const run = async (task: () => Promise<T>): Promise<T> => {
    if (free === 0) await new Promise<void>((resolve) => waiting.push(resolve));
    else free--;
    try {
      return await task();
    } finally {
      const next = waiting.shift();
      if (next === undefined) free++;
      else next();
    }
  };
  return new Map(
    [...tasks].map(([name, task]) => {
      const outcome = run(task);
      // Whoever asks for it sees the failure; until then it is not unhandled.
      outcome.catch(() => undefined);
      return [name, outcome];
    }),
  );
}
