/**
 * A whole restore drill, from its order to its verdict, against the bare tool's restore and a start of the server, in
 * alternating pairs, on the same backup; with the time that the checks of the drill took, and with the same checks run by
 * themselves, for which the other dump is made and restored by pg_dump and pg_restore.
 *
 * REPRISE_BENCH_SCALE (70: 1 GB), REPRISE_BENCH_PAIRS (3), REPRISE_BENCH_ENGINE (both: logical, physical)
 */
import { join } from 'node:path';
import { checkOf, checksOfEveryDrill } from '../dist/checks/registry.js';
import { startDrill } from '../dist/client/start.js';
import { readTables } from '../dist/postgres/content/read-tables.js';
import { BareServer } from './bare-server.mjs';
import { Lab, chosenEngines, median, pairs as asked, seconds } from './lab.mjs';

const pairs = process.env.REPRISE_BENCH_PAIRS === undefined ? 3 : asked;
/** What is promised. */
const SHARE = 0.05;
/** How the seconds of a check are named; phases of a drill are `check: POLICY`. */
const CHECK = 'check of ';

export async function drill(say) {
  const figures = [];
  for (const engine of chosenEngines()) figures.push(...(await Lab.with((lab) => measured(lab, engine, say))));
  return figures;
}

async function measured(lab, engine, say) {
  const bytes = await lab.fill();
  // A server that replays WAL cannot install it: without it the check would be skipped on one side.
  await lab.sql('CREATE EXTENSION amcheck', 'mairie');
  const { dataDir, port } = lab.scratch.staging;
  const place = { host: 'bench', allow_same_host: true, data_dir: dataDir, port };
  await lab.serve({ mairie: lab.cluster(lab[engine], { drill: place }) });
  const { backups } = await lab.backUp();
  const bare = await bareSide(lab, engine, backups);
  const times = { bare: [], drill: [], checks: [], restores: [], phases: {}, bareParts: {} };
  for (let pair = 0; pair < pairs; pair++) {
    // Who is first takes turns: the second finds a warmer cache.
    for (const how of pair % 2 === 0 ? ['bare', 'drill'] : ['drill', 'bare']) {
      const { taken, parts } = how === 'bare' ? await bare() : await drillOnce(lab);
      times[how].push(taken);
      const inChecks = sum(parts.filter(([name]) => isCheck(name)));
      if (how === 'bare') times.restores.push(taken - inChecks);
      else times.checks.push(inChecks);
      const kept = how === 'bare' ? times.bareParts : times.phases;
      for (const [name, value] of parts) (kept[name] ??= []).push(Number(value.toFixed(2)));
      say(`${engine}, ${how} ${pair + 1}/${pairs}: ${taken.toFixed(1)} s`);
    }
  }
  const ours = median(times.drill);
  const figure = (what, alone) => ({
    name: `drill (${engine}) over the bare restore and ${what} (${(bytes / 1e9).toFixed(2)} GB, median of ${pairs} pairs: ${ours.toFixed(1)} s over ${alone.toFixed(1)} s, ${(ours - alone).toFixed(1)} s more)`,
    ...{ unit: '%', value: (100 * (ours - alone)) / alone, limit: 100 * SHARE, detail: { bytes, ...times } },
  });
  return [
    figure("the checks' own time", median(times.restores) + median(times.checks)),
    figure('the checks by themselves, the other dump by bare tools', median(times.bare)),
  ];
}

const isCheck = (name) => name.startsWith(CHECK);
const sum = (parts) => parts.reduce((whole, [, value]) => whole + value, 0);

/** Emptying staging afterwards is not in it: nobody waits for that. */
async function drillOnce(lab) {
  let [outcome, phases] = [];
  const whole = await seconds(async () => {
    const { handle } = await startDrill(lab.session, { cluster: 'mairie', requester: 'bench', order: {} });
    ({ outcome } = await handle.result());
    ({ phases } = await handle.query('status'));
  });
  if (outcome.verdict !== 'pass') throw new Error(`the drill did not pass: ${JSON.stringify(outcome.checks)}`);
  const afterwards = phases.findLast(({ name }) => name === 'empty staging')?.seconds ?? 0;
  const parts = [...phases, ...outcome.checks.map(({ name, seconds }) => ({ name: `${CHECK}${name}`, seconds }))];
  return { taken: whole - afterwards, parts: parts.map((part) => [part.name, part.seconds]) };
}

/** The runbook by hand, in directories of its own; what it leaves is removed untimed. */
async function bareSide(lab, engine, backups) {
  const { scratch } = lab;
  const { root } = scratch;
  const dump = join(root, 'bare.dump');
  if (engine === 'logical') await lab.tool('pg_dump', ['--format=custom', '--compress=1', `--file=${dump}`, 'mairie']);
  return async () => {
    const servers = [new BareServer(lab, join(root, 'bare')), new BareServer(lab, join(root, 'again'))];
    const [restored, second] = servers;
    const parts = [];
    const timed = async (name, run) => parts.push([name, await seconds(run)]);
    try {
      if (engine === 'logical') {
        await timed('restore', () => restored.restoreDump(dump, 'mairie'));
      } else {
        await timed('restore', () => restored.restoreFiles('--type=immediate'));
        await timed('start', () => restored.start());
      }
      await runChecks(lab, engine, { restored, second, backups, timed });
    } finally {
      for (const server of servers) await server.remove();
    }
    return { taken: sum(parts), parts };
  };
}

/** Every check of a drill, with nothing around it. */
async function runChecks(lab, engine, { restored, second, backups, timed }) {
  const { pgBin, user } = lab.scratch;
  const signal = new globalThis.AbortController().signal;
  const databases = engine === 'logical' ? ['mairie'] : null;
  let tables;
  const context = {
    connection: restored.connection,
    recorded: backups.flatMap(({ contents }) => contents ?? []),
    recordedIsExact: true,
    signal,
    restored: {
      method: engine === 'logical' ? 'databases' : 'data-directory',
      ...{ databases, dataDir: restored.dataDir, pgBin, user, reached: null, backups },
      target: { kind: 'end-of-backup' },
      tables: () => (tables ??= readTables(restored.connection, databases, signal)),
    },
    drill: {
      keep: async (name) => name,
      dumpAgain: async () => {
        const read = await tables;
        const found = [];
        for (const database of read.databases) {
          const dump = `${second.dataDir}.dump`;
          await restored.tool('pg_dump', ['--format=custom', '--compress=1', `--file=${dump}`, database]);
          await second.restoreDump(dump, `${database}_again`);
          const { tables: again } = await readTables(second.connection, [`${database}_again`], signal);
          found.push({ database, tables: again.length, problem: null });
        }
        return found;
      },
    },
  };
  for (const { name, type, options } of checksOfEveryDrill()) {
    await timed(`${CHECK}${name}`, async () => {
      const { status, detail } = await checkOf(type).run(context, options);
      if (status === 'failed') throw new Error(`${name} failed: ${detail}`);
    });
  }
}
