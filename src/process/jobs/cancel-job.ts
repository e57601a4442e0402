import { RepriseError } from '../../domain/errors.js';
import { crashPoint } from './crash-points.js';
import type { Job } from './job.js';
import { hasSucceeded } from './job.js';

/**
 * Ends a job whose operation was cancelled: the tool and its children are ended, what they left is removed, and only
 * then is it said. Returns only where the job had succeeded already: its output may be in use, and stays.
 * @throws RepriseError `job-cancelled`
 */
export async function cancelJob(job: Job): Promise<void> {
  for (;;) {
    const state = await job.read();
    if (hasSucceeded(state)) return;
    // Said before the tool is told: one that then still ends with 0 must not count, its output is removed.
    if (state.kind === 'running') await job.decide(state, 'retry', 'cancelled');
    if ('pid' in state && state.pid !== null) await job.end(state.pid, state);
    crashPoint('job:after-cancel', job.request.step, job.tool);
    const lock = await job.takeLock();
    if (lock === null) continue;
    try {
      const settled = await job.read();
      if (settled.kind === 'running') continue;
      if (hasSucceeded(settled)) return;
      if (settled.kind === 'ended' || settled.kind === 'gone') await job.decide(settled, 'retry', 'cancelled');
      if (settled.starts > 0) await job.request.cleanUp?.();
      throw new RepriseError(
        'job-cancelled',
        `${job.tool} was ended because its operation was cancelled`,
        'Start a new operation if it is still wanted.',
        { key: job.key, starts: settled.starts },
      );
    } finally {
      await lock.release();
    }
  }
}
