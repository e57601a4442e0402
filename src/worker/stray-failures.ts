/** How the line in the log begins. */
export const STRAY_FAILURE = 'a failure that no code waits for';

/**
 * Keeps the worker running where a promise fails that no code waits for: Node would end the process, and with it every other step of the
 * host. Such a failure is a defect of Reprise: it is logged with its stack, to be reported. Returns what removes the listener.
 */
export function surviveStrayFailures(log: (message: string) => void): () => void {
  const listener = (reason: unknown): void => {
    const text = reason instanceof Error ? (reason.stack ?? reason.message) : String(reason);
    log(`${STRAY_FAILURE}; please report it: ${text}`);
  };
  process.on('unhandledRejection', listener);
  return () => void process.off('unhandledRejection', listener);
}
