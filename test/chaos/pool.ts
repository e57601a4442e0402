/** Starts tasks in order, so many at a time; each outcome can be awaited by name, and is told as soon as it is known. */
export function inPool<T>(
  tasks: ReadonlyMap<string, () => Promise<T>>,
  atOnce: number,
  tell: (line: string) => void = () => undefined,
): ReadonlyMap<string, Promise<T>> {
  const waiting: (() => void)[] = [];
  let free = atOnce;
  const run = async (name: string, task: () => Promise<T>): Promise<T> => {
    if (free === 0) await new Promise<void>((resolve) => waiting.push(resolve));
    else free--;
    const began = performance.now();
    const say = (how: string): void => tell(`${how} ${name} (${((performance.now() - began) / 1000).toFixed(0)} s)`);
    try {
      const outcome = await task();
      say('ok    ');
      return outcome;
    } catch (error) {
      say('FAILED');
      tell(
        String(error instanceof Error ? error.message : error)
          .split('\n')
          .slice(0, 40)
          .join('\n'),
      );
      throw error;
    } finally {
      const next = waiting.shift();
      if (next === undefined) free++;
      else next();
    }
  };
  return new Map(
    [...tasks].map(([name, task]) => {
      const outcome = run(name, task);
      // Whoever asks for it sees the failure; until then it is not unhandled.
      outcome.catch(() => undefined);
      return [name, outcome];
    }),
  );
}
