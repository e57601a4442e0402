import { spawn } from 'node:child_process';

/**
 * Starts a program of ours in a session of its own, in the environment and directory of this one; nobody reads what it prints
 * or waits for it. It has to end by itself.
 */
export function startDetached([program = '', ...args]: readonly string[]): void {
  const child = spawn(program, args, { detached: true, stdio: 'ignore' });
  // What could not be started is done another time.
  child.on('error', () => undefined);
  child.unref();
}
