import type { TemporalSession } from '../client/connect.js';
import { webUiLink } from '../client/connect.js';
import { follow } from '../client/follow-operation.js';
import type { StartedOperation } from '../client/start.js';
import type { StatusView } from '../client/status.js';
import type { Cli } from './cli-context.js';
import type { CommonOptions } from './define-command.js';
import { ProgressDisplay } from './terminal/progress.js';

/** Printed by `--detach`. */
export interface Detached {
  readonly workflowId: string;
  readonly webUi: string;
  readonly follow: string;
}

/** Where a piece of work is seen, and the command that goes on following it. */
export function detached(cli: Cli, session: TemporalSession, workflowId: string): Detached {
  return { workflowId, webUi: webUiLink(session.settings, workflowId), follow: cli.command('watch', workflowId) };
}

export function detachedText(view: Detached): string {
  return `started ${view.workflowId}\n  watch it:  ${view.follow}\n  Web UI:    ${view.webUi}`;
}

/**
 * Waits for the result with progress on stderr; Ctrl-C and `--timeout` end the waiting, never the work. `news` is text
 * that people wait for too, shown between the lines once it is there.
 */
export async function waitFor<T>(
  cli: Cli,
  session: TemporalSession,
  work: StartedOperation,
  options: CommonOptions,
  news?: Promise<string | null>,
): Promise<T> {
  const { workflowId } = work;
  if (cli.showsProgress)
    cli.say(cli.terminal.paint('dim', `${workflowId}  ${webUiLink(session.settings, workflowId)}`, 'err'));
  const display = new ProgressDisplay(cli.terminal, (line) => cli.say(line));
  const onStatus = (view: StatusView): void => (cli.showsProgress ? display.update(view) : undefined);
  void news?.then((text) => {
    if (text === null || !cli.showsProgress) return;
    display.clear();
    cli.say(text);
  });
  return interruptible(async (signal) => {
    try {
      return await follow<T>(session, work.handle, {
        onStatus,
        comeBack: cli.command('watch', workflowId),
        timeoutMs: milliseconds(options),
        signal,
      });
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
