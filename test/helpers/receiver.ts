import { basebackupEngine } from '../../src/engines/basebackup/basebackup-engine.js';
import type { EngineContext } from '../../src/engines/engine.js';
import { createJobs, endJobsOf } from '../../src/process/jobs/supervisor.js';
import { onCleanup } from './cleanup.js';

export interface Receiver {
  /** As a worker that shuts down: the program is left alone. */
  leave(): Promise<void>;
  /** As somebody who cancels: the program ends. */
  cancel(): Promise<void>;
}

/** Receives WAL as the activity of a worker does, one attempt after the other. */
export function startReceiver(context: EngineContext): Receiver {
  const stop = new AbortController();
  let leave = true;
  const { host, user } = context;
  const operationId = 'archive/mairie/nightly';
  const jobs = createJobs({
    stateDir: host.stateDir,
    operationId,
    user,
    signal: stop.signal,
    leaveOnAbort: () => leave,
    report: () => undefined,
  });
  const attempts = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      await basebackupEngine.receiver
        ?.receive({ ...context, operationId, signal: stop.signal, jobs })
        .catch(() => undefined);
    }
  };
  const ended = attempts();
  const end = async (leaves: boolean): Promise<void> => {
    leave = leaves;
    stop.abort(new Error('the worker shuts down'));
    await ended;
  };
  const receiver = { leave: () => end(true), cancel: () => end(false) };
  onCleanup(async () => {
    await receiver.cancel();
    // One that was left alone is nobody's to cancel any more.
    await endJobsOf(host.stateDir, operationId);
  });
  return receiver;
}
