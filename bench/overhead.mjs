/**
 * Backup and recovery through Reprise against the bare tool, in alternating pairs, on the same data. What a person gets
 * on top is timed apart and not counted: row counts, the wait for approval, the fresh backup after a recovery.
 *
 * REPRISE_BENCH_SCALE (70: 1 GB), REPRISE_BENCH_PAIRS (5), REPRISE_BENCH_ENGINE (both: logical, physical)
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { countTables } from '../dist/postgres/content/inventory.js';
import { withClient } from '../dist/postgres/connection/with-client.js';
import { giveTo } from '../dist/files/directories.js';
import { makeScratchDirectory } from '../dist/postgres/server/scratch-directory.js';
import { Lab, chosenEngines, median, pairs, seconds } from './lab.mjs';

const sidesOf = { physical: ['pgBackRest', physical], logical: ['pg_dump', logical] };

export async function overhead(say) {
  const figures = [];
  for (const [name, run] of chosenEngines().map((engine) => sidesOf[engine]))
    figures.push(...(await Lab.with((lab) => measured(lab, name, run, say))));
  return figures;
}

async function measured(lab, name, run, say) {
  const bytes = await lab.fill();
  const gigabytes = (bytes / 1e9).toFixed(2);
  const sides = await run(lab);
  // Beside pg_dump they cost what a query does; after a restore, what they take.
  const counts = {
    backup: await seconds(() => countRows(lab)),
    recovery: await seconds(() =>
      withClient(lab.scratch.connection, 'mairie', (client) => countTables(client, 'mairie')),
    ),
  };
  const times = { backup: { bare: [], through: [], phases: {} }, recovery: { bare: [], through: [], phases: {} } };
  for (let pair = 0; pair < pairs; pair++) {
    for (const what of ['backup', 'recovery']) {
      // Who is first takes turns too: the second finds a warmer cache.
      for (const how of pair % 2 === 0 ? ['bare', 'through'] : ['through', 'bare']) {
        const { taken, phases } = await sides[what][how]();
        times[what][how].push(taken);
        for (const phase of phases ?? [])
          (times[what].phases[phase.name.replace(/^prove .*/, 'prove')] ??= []).push(Number(phase.seconds?.toFixed(2)));
        say(`${name}, ${what} ${how} ${pair + 1}/${pairs}: ${taken.toFixed(1)} s`);
      }
    }
  }
  return Object.entries(times).map(([what, { bare, through, phases }]) => {
    // pg_dump's rows are counted beside it in the same snapshot, pgBackRest's not at all.
    const apart = name === 'pg_dump' ? counts[what] : 0;
    const [alone, ours] = [median(bare), median(through) - apart];
    return {
      name: `${what} through Reprise over ${name} alone (${gigabytes} GB, median of ${pairs} pairs: ${ours.toFixed(1)} s over ${alone.toFixed(1)} s; row counts of ${apart.toFixed(1)} s apart)`,
      unit: 's',
      value: ours - alone,
      limit: Math.max(0.03 * alone, 2),
      detail: { bytes, bare, through, counts: apart, phases },
    };
  });
}

async function logical(lab) {
  await lab.serve({ mairie: lab.cluster(lab.logical) });
  const directory = join(lab.scratch.root, 'bare');
  await makeScratchDirectory(directory, lab.scratch.user);
  const dump = join(directory, 'bare.dump');
  let newest;
  return {
    backup: {
      bare: () => bare(() => lab.tool('pg_dump', ['--format=custom', '--compress=1', `--file=${dump}`, 'mairie'])),
      through: () => backUp(lab, ([backup]) => (newest = backup)),
    },
    recovery: {
      bare: () =>
        bare(async () => {
          await lab.tool('createdb', ['mairie_bare']);
          await lab.tool('pg_restore', ['--jobs=1', '--dbname=mairie_bare', dump]);
          await lab.tool('vacuumdb', ['--analyze-only', '--quiet', 'mairie_bare']);
        }).finally(() => lab.sql('DROP DATABASE mairie_bare')),
      through: async () => {
        const done = untilOpen(await lab.recover({ kind: 'backup', id: newest.id }));
        await lab.dropOld();
        return done;
      },
    },
  };
}

async function physical(lab) {
  await lab.serve({ mairie: lab.cluster(lab.physical) });
  const { dataDir } = lab.scratch;
  return {
    backup: {
      bare: () =>
        bare(() => lab.pgbackrest('--type=full', '--repo1-retention-full=9999999', '--no-expire-auto', 'backup')),
      through: () => backUp(lab),
    },
    recovery: {
      bare: async () => {
        const done = await bare(async () => {
          await lab.as(join(lab.scratch.pgBin, 'pg_ctl'), 'stop', '-s', '-m', 'fast', '-D', dataDir);
          await lab.as('mv', dataDir, `${dataDir}-bare`);
          await makeScratchDirectory(dataDir, lab.scratch.user);
          await giveTo(dataDir, lab.scratch.user);
          await lab.pgbackrest('--target-timeline=latest', 'restore');
          await lab.as(
            join(lab.scratch.pgBin, 'pg_ctl'),
            'start',
            '-s',
            '-w',
            '-t',
            '3600',
            '-D',
            dataDir,
            '-l',
            `${dataDir}.log`,
          );
          while ((await lab.sql('SELECT pg_is_in_recovery() AS still'))[0].still) await sleep(100);
        });
        await lab.as('rm', '-rf', `${dataDir}-bare`);
        return done;
      },
      through: async () => {
        const done = untilOpen(await lab.recover({ kind: 'latest' }));
        await lab.as('sh', '-c', 'rm -rf "$1"-* "$1".[!l]*', 'sh', dataDir);
        return done;
      },
    },
  };
}

/** From the start of the work, without the wait for approval, to the database being open for writes; checks apart. */
function untilOpen({ rtoSeconds, phases }) {
  const apart = phases.filter(({ name }) =>
    ['run checks', 'safety backup of the databases to be replaced'].includes(name),
  );
  return { taken: rtoSeconds - apart.reduce((sum, phase) => sum + phase.seconds, 0), phases };
}

async function bare(run) {
  return { taken: await seconds(run) };
}

async function backUp(lab, see = () => undefined) {
  let phases;
  const taken = await seconds(async () => {
    const made = await lab.backUp();
    ({ phases } = made);
    see(made.backups);
  });
  return { taken, phases };
}

async function countRows(lab) {
  for (const table of ['accounts', 'branches', 'tellers', 'history'])
    await lab.sql(`SELECT count(*) FROM public.pgbench_${table}`, 'mairie');
}
