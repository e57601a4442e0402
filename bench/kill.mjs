/** What a SIGKILL of the worker in the middle of a restore costs: undisturbed and killed recoveries in turns. */
import { readJobs } from '../dist/process/jobs/supervisor.js';
import { setTimeout as sleep } from 'node:timers/promises';
import { Lab, median, seconds } from './lab.mjs';

/** The next worker's heart-beat time-out and start: the tool itself goes on meanwhile. */
const LIMIT_SECONDS = 15;
const RUNS = 3;

export const kill = (say) =>
  Lab.with(async (lab) => {
    const bytes = await lab.fill();
    await lab.serve({ mairie: lab.cluster(lab.logical) });
    const { backups } = await lab.backUp();
    const [{ id }] = backups;
    const times = { undisturbed: [], killed: [] };
    const starts = [];
    for (let run = 0; run < RUNS; run++) {
      for (const how of ['undisturbed', 'killed']) {
        let operationId;
        let away = 0;
        const outcome = await lab.recover({ kind: 'backup', id }, async (work) => {
          ({ operationId } = work);
          if (how === 'undisturbed') return;
          await restoring(lab, operationId);
          process.kill(lab.worker.pid, 'SIGKILL');
          away = await seconds(() => lab.startWorker());
        });
        const restores = (await readJobs(lab.scratch.stateDir, operationId)).filter(({ key }) =>
          key.includes('/restore:'),
        );
        starts.push(...restores.map((job) => job.starts));
        times[how].push(outcome.rtoSeconds);
        say(
          `${how} ${run + 1}/${RUNS}: ${outcome.rtoSeconds.toFixed(1)} s${away === 0 ? '' : `, ${away.toFixed(1)} s without a worker`}`,
        );
        await lab.dropOld();
      }
    }
    if (starts.some((count) => count !== 1))
      throw new Error(`pg_restore was started again: ${starts.join(', ')} times`);
    const [undisturbed, killed] = [median(times.undisturbed), median(times.killed)];
    const name = `a worker killed in mid-restore over an undisturbed one (${(bytes / 1e9).toFixed(2)} GB, median of ${RUNS}: ${killed.toFixed(1)} s over ${undisturbed.toFixed(1)} s; pg_restore started once)`;
    return [{ name, unit: 's', value: killed - undisturbed, limit: LIMIT_SECONDS, detail: times }];
  });

/** Until pg_restore has been at work for a moment. */
async function restoring(lab, operationId) {
  for (const limit = Date.now() + 300_000; Date.now() < limit; await sleep(20)) {
    const jobs = await readJobs(lab.scratch.stateDir, operationId);
    if (jobs.some(({ key, state }) => key.includes('/restore:') && state === 'running')) return;
  }
  throw new Error('pg_restore was not seen at work: take more data (REPRISE_BENCH_SCALE)');
}
