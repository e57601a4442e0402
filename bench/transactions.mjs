/**
 * `wal transactions` over segments of WAL that pgbench wrote, against `pg_waldump -r Heap -r Heap2 -r Transaction` to /dev/null on the
 * same files, in turns. Ours copies the segments from the archive and names tables; the memory is what this process takes more.
 *
 * REPRISE_BENCH_SEGMENTS (200), REPRISE_BENCH_PAIRS (3), REPRISE_BENCH_SCALE (10)
 */
import { copyFile, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setInterval, clearInterval } from 'node:timers';
import { listTransactions } from '../dist/postgres/wal/transactions/list-transactions.js';
import { readRelationNames } from '../dist/postgres/wal/transactions/relation-names.js';
import { openCourse } from '../dist/postgres/wal/transactions/wal-course.js';
import { runProgram } from '../dist/process/exec/run-program.js';
import { Lab, median, seconds } from './lab.mjs';

const { AbortController } = globalThis;
const segments = Number(process.env.REPRISE_BENCH_SEGMENTS ?? 200);
const pairs = Number(process.env.REPRISE_BENCH_PAIRS ?? 3);
const scale = Number(process.env.REPRISE_BENCH_SCALE ?? 10);
const MOST_BYTES = 150 * 1024 * 1024;
const WAL_KEPT = '64GB';

export function transactions(say) {
  return Lab.with(async (lab) => {
    const names = await write(lab, say);
    const { scratch } = lab;
    const pgWal = join(scratch.dataDir, 'pg_wal');
    const directory = join(scratch.root, 'wal-scratch');
    await mkdir(directory);
    const archive = {
      segments: names,
      timelines: [],
      readHistory: async () => [],
      fetch: (segment, into) => copyFile(join(pgWal, segment), join(into, segment)),
    };
    const reader = { pgBin: scratch.pgBin, user: null, signal: new AbortController().signal, report: () => undefined };
    const [first, last] = [names[0], names.at(-1)];
    const bare = () =>
      seconds(() =>
        runProgram(
          [
            ...['/bin/sh', '-c', 'exec "$@" > /dev/null', 'dump', join(scratch.pgBin, 'pg_waldump'), '-p', pgWal],
            ...['-r', 'Heap', '-r', 'Heap2', '-r', 'Transaction', first, last],
          ],
          { timeoutMs: 3_600_000, acceptCodes: [0, 1] },
        ),
      );
    let found;
    let peak = 0;
    const before = process.memoryUsage().rss;
    const ours = () =>
      seconds(async () => {
        const watched = setInterval(() => (peak = Math.max(peak, process.memoryUsage().rss)), 50);
        const course = await openCourse({ archive, dataDir: null, scratch: directory }, null);
        const known = await readRelationNames(scratch.connection);
        const order = { from: 0, to: Date.now() * 1000 + 3_600_000_000, minRows: 1, limit: 20 };
        found = await listTransactions(reader, course, known, order, true);
        clearInterval(watched);
      });
    const [theirs, own] = [[], []];
    for (let pair = 0; pair < pairs; pair++) {
      theirs.push(await bare());
      own.push(await ours());
      say(`pair ${pair + 1}: pg_waldump ${theirs.at(-1).toFixed(1)} s, ours ${own.at(-1).toFixed(1)} s`);
    }
    const detail = { segments: names.length, committed: found.committed, pgWaldump: theirs, ours: own };
    return [
      {
        ...{ name: `\`wal transactions\` over ${names.length} segments against pg_waldump to /dev/null`, unit: 's' },
        ...{ value: median(own), limit: 1.3 * median(theirs), detail },
      },
      {
        name: 'memory that it takes',
        unit: 'MB',
        value: (peak - before) / 1024 / 1024,
        limit: MOST_BYTES / 1024 / 1024,
      },
    ];
  });
}

/** Writes the WAL; returns the names of its segments. */
async function write(lab, say) {
  await lab.sql(`ALTER SYSTEM SET wal_keep_size = '${WAL_KEPT}'`);
  await lab.sql("ALTER SYSTEM SET synchronous_commit = 'off'");
  await lab.sql("ALTER SYSTEM SET archive_command = 'true'");
  await lab.sql('SELECT pg_reload_conf()');
  await lab.fill(scale);
  const pgWal = join(lab.scratch.dataDir, 'pg_wal');
  const first = await lab.closeSegment();
  const written = async () => {
    const last = await lab.closeSegment();
    return (await readdir(pgWal)).filter((one) => /^[0-9A-F]{24}$/.test(one) && one > first && one <= last).toSorted();
  };
  let names = [];
  while (names.length < segments) {
    await lab.tool('pgbench', ['--no-vacuum', '--client=4', '--transactions=20000', 'mairie']);
    await lab.sql(
      'DELETE FROM public.pgbench_history WHERE ctid IN (SELECT ctid FROM public.pgbench_history LIMIT 10000)',
      'mairie',
    );
    names = await written();
    say(`${names.length} of ${segments} segments are written`);
  }
  return names.slice(0, segments);
}
