/**
 * How far predictions of the RTO are from recoveries that were carried out: three sizes on one host, each predicted from the
 * recoveries of the two others alone.
 *
 * REPRISE_BENCH_SCALES (13,40,120: 0.2, 0.6 and 1.8 GB), REPRISE_BENCH_PAIRS (2: recoveries of each size),
 * REPRISE_BENCH_ENGINE (both: logical, physical)
 */
import { predictSeconds } from '../dist/domain/plan/predict-duration.js';
import { openMeasuredRestores } from '../dist/records/measured-restores.js';
import { Lab, chosenEngines, median } from './lab.mjs';

const scales = (process.env.REPRISE_BENCH_SCALES ?? '13,40,120').split(',').map(Number);
const runs = Number(process.env.REPRISE_BENCH_PAIRS ?? 2);
const LIMIT_PERCENT = 25;

export async function predict(say) {
  const figures = [];
  for (const engine of chosenEngines()) figures.push(...(await Lab.with((lab) => measured(lab, engine, say))));
  return figures;
}

async function measured(lab, engine, say) {
  const recoveries = [];
  let isServed = false;
  for (const scale of scales) {
    const bytes = await lab.fill(scale);
    if (!isServed) await lab.serve({ mairie: lab.cluster(lab[engine]) });
    isServed = true;
    const { backups } = await lab.backUp();
    for (let run = 0; run < runs; run++) {
      // What has to be replayed differs as well.
      await lab.tool('pgbench', ['--no-vacuum', `--transactions=${200 * (run + 1)}`, 'mairie']);
      await lab.closeSegment();
      const target = engine === 'logical' ? { kind: 'backup', id: backups[0].id } : { kind: 'latest' };
      const { rtoSeconds, phases } = await lab.recover(target);
      recoveries.push({ scale, bytes, rtoSeconds, phases });
      say(`${engine}, ${(bytes / 1e9).toFixed(2)} GB, recovery ${run + 1}/${runs}: ${rtoSeconds.toFixed(1)} s`);
      await tidy(lab, engine);
    }
  }
  const samples = await openMeasuredRestores(lab.scratch.stateDir).list(lab[engine].engine);
  if (samples.length !== recoveries.length)
    throw new Error(`${samples.length} restores were measured, and ${recoveries.length} carried out`);
  return scales.map((scale) => figureOf(engine, scale, recoveries, samples));
}

/** The worst of the recoveries of one size: what the two other sizes say of it against what it took. */
function figureOf(engine, scale, recoveries, samples) {
  const others = samples.filter((_sample, index) => recoveries[index].scale !== scale);
  const held = recoveries.flatMap(({ rtoSeconds, bytes, phases, ...one }, index) =>
    one.scale === scale
      ? [{ rtoSeconds, bytes, phases, sample: samples[index], said: predictSeconds(others, samples[index]) }]
      : [],
  );
  const errorOf = ({ rtoSeconds, said }) => (100 * (said.p50 - rtoSeconds)) / rtoSeconds;
  const typical = {
    said: median(held.map(({ said }) => said.p50)),
    took: median(held.map(({ rtoSeconds }) => rtoSeconds)),
  };
  const error = (100 * (typical.said - typical.took)) / typical.took;
  return {
    name: `predicted RTO (${engine}, ${(held[0].bytes / 1e9).toFixed(2)} GB, from the other sizes): ${typical.said.toFixed(1)} s, took ${typical.took.toFixed(1)} s (median of ${held.length}; each: ${held.map((one) => `${errorOf(one).toFixed(0)} %`).join(', ')}), error`,
    unit: '%',
    value: Math.abs(error),
    limit: LIMIT_PERCENT,
    detail: { held },
  };
}

/** What a recovery keeps of the old data: disks are not endless. */
async function tidy(lab, engine) {
  if (engine === 'logical') return lab.dropOld();
  await lab.as('sh', '-c', 'rm -rf "$1"-* "$1".[!l]*', 'sh', lab.scratch.dataDir);
}
