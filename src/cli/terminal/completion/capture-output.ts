/** What a function prints: tab's only way to answer is `console.log`, and our output has one place. */
export function printed(run: () => void): string {
  const lines: string[] = [];
  const { log } = console;
  console.log = (line: string) => void lines.push(line);
  try {
    run();
  } finally {
    console.log = log;
  }
  return lines.join('\n');
}
