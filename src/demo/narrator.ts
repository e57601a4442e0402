/** Says on stderr what happens now, with the seconds since the beginning. */
export interface Narrator {
  /** A chapter: what comes next, in plain words. */
  chapter(text: string): void;
  /** One thing that happened. */
  say(text: string): void;
  /** Runs a step and says how long it took. */
  timed<T>(text: string, run: () => Promise<T>): Promise<T>;
  /** Text that is to be read as it is, such as a plan. */
  block(text: string): void;
}

export function createNarrator(write: (line: string) => void): Narrator {
  const begun = performance.now();
  const line = (text: string) => write(`${((performance.now() - begun) / 1000).toFixed(1).padStart(6)} s  ${text}`);
  return {
    chapter: (text) => {
      write('');
      line(text);
    },
    say: (text) => line(`  ${text}`),
    timed: async (text, run) => {
      const since = performance.now();
      const result = await run();
      line(`  ${text} (${((performance.now() - since) / 1000).toFixed(1)} s)`);
      return result;
    },
    block: (text) => write(text.replace(/^(?=.)/gm, '            ')),
  };
}
