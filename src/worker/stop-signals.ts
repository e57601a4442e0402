const SIGNALS = ['SIGTERM', 'SIGINT'] as const;

/**
 * Keeps a listener beside that of Temporal's runtime, which removes its own at the first signal: execa, while a program runs, ends a
 * process that has no other listener (npm `signal-exit`), and the worker would end in the middle of its work. A second signal ends it
 * at once. Returns what removes the listener.
 */
export function waitForShutdown(): () => void {
  let received = 0;
  const listener = (): void => {
    received += 1;
    if (received > 1) process.exit(1);
  };
  for (const signal of SIGNALS) process.on(signal, listener);
  return () => {
    for (const signal of SIGNALS) process.off(signal, listener);
  };
}
