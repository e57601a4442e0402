import type { TemporalSession } from '../connect.js';
import { webUiLink } from '../connect.js';
import { follow } from '../follow.js';
import type { StartedWork } from '../start.js';
import type { Cli } from './cli.js';
import type { CommonOptions } from './define.js';
import { ProgressDisplay } from './progress.js';

/** Printed by `--detach`. */
export interface Detached {
  readonly workflowId: string;
  readonly webUi: string;
  readonly follow: string;
}

/** Where a piece of work is seen, and the command that goes on following it. */
export function detached(session: TemporalSession, workflowId: string): Detached {
  return { workflowId, webUi: webUiLink(session.settings, workflowId), follow: `reprise watch ${workflowId}` };
}

export function detachedText(view: Detached): string {
  return `started ${view.workflowId}\n  watch it:  ${view.follow}\n  Web UI:    ${view.webUi}`;
}

/** Waits for the result with progress on stderr; Ctrl-C and `--timeout` end the waiting, never the work. */
export async function waitFor<T>(cli: Cli, session: TemporalSession, work: StartedWork, options: CommonOptions): Promise<T> {
  cli.say(cli.terminal.paint('dim', `${work.workflowId}  ${webUiLink(session.settings, work.workflowId)}`, 'err'));
  const display = new ProgressDisplay(cli);
  return interruptible(async (signal) => {
    try {
      return await follow<T>(session, work.handle, { onStatus: (view) => display.update(view), timeoutMs: milliseconds(options), signal });
    } finally {
      display.clear();
    }
  });
}

/** Runs with a signal that Ctrl-C aborts; a second Ctrl-C ends the program at once. */
export async function interruptible<T>(run: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const interruption = new AbortController();
  const abort = (): void => interruption.abort();
  process.once('SIGINT', abort);
  process.once('SIGTERM', abort);
  try {
    return await run(interruption.signal);
  } finally {
    process.removeListener('SIGINT', abort);
    process.removeListener('SIGTERM', abort);
  }
}

export function milliseconds({ timeout }: CommonOptions): number | undefined {
  return timeout === undefined ? undefined : timeout * 1000;
}
