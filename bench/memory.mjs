/** Peak memory of a worker with the bundled workflows over backups and a recovery; the tools it starts are not in it. */
import { Lab, peakMb } from './lab.mjs';

const LIMIT_MB = 250;
const BACKUPS = 5;

export const memory = (say) =>
  Lab.with(async (lab) => {
    await lab.fill(Math.min(10, Number(process.env.REPRISE_BENCH_SCALE ?? 10)));
    await lab.serve({ mairie: lab.cluster({ ...lab.physical, proof: 'verify' }) });
    const { pid } = lab.worker;
    const idle = await peakMb(pid);
    say(`idle: ${idle.toFixed(0)} MB`);
    for (let made = 0; made < BACKUPS; made++) await lab.backUp();
    say(`after ${BACKUPS} backups: ${(await peakMb(pid)).toFixed(0)} MB`);
    await lab.recover({ kind: 'latest' });
    const value = await peakMb(pid);
    return [
      {
        name: `peak RSS of a worker over ${BACKUPS} backups and a recovery (${idle.toFixed(0)} MB when idle)`,
        unit: 'MB',
        value,
        limit: LIMIT_MB,
        detail: { idle },
      },
    ];
  });
