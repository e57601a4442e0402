/**
 * A table of 5 million rows on two databases of one cluster, with 1,000 rows missing, 1,000 changed and 1,000 extra, spread evenly: compared
 * by Reprise, in a process of its own, and by data-diff, against hashing both tables once in SQL. By a login without rights, as which the
 * server hashes.
 *
 * REPRISE_BENCH_ROWS (5000000), REPRISE_BENCH_PAIRS (3): medians of so many. REPRISE_BENCH_DATA_DIFF=no leaves data-diff out.
 */
import { execFile } from 'node:child_process';
import { appendFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { service } from '../dist/demo/cluster.js';
import { withClient } from '../dist/postgres/connection/with-client.js';
import { compareTables } from '../dist/postgres/compare/compare-tables.js';
import { Lab, median, pairs, seconds } from './lab.mjs';

const ROWS = Number(process.env.REPRISE_BENCH_ROWS ?? 5_000_000);
const EACH = 1000;
const LIMIT = { hashing: 1.5, dataDiff: 10, mb: 150 };
const READER = { password: 'reader' };
const { AbortController } = globalThis;
const run = promisify(execFile);

export const compare = (say) =>
  Lab.with(async (lab) => {
    await fill(lab, say);
    const connection = { ...lab.scratch.connection, user: 'reader' };
    const [hashed, compared, again, peaks] = [[], [], [], []];
    for (let pair = 1; pair <= pairs; pair++) {
      hashed.push(await seconds(() => Promise.all(['good', 'mairie'].map((name) => hash(connection, name)))));
      const found = await child(connection);
      compared.push(found.seconds);
      again.push(found.again);
      peaks.push(found.peakMb);
      say(
        `pair ${pair}: hashed in ${hashed.at(-1).toFixed(1)} s, compared in ${found.seconds} s, again in ${found.again} s`,
      );
    }
    const figures = [
      {
        name: `comparing ${ROWS} rows, ${EACH} missing, changed and extra each, against ${LIMIT.hashing} times hashing both tables once in SQL`,
        unit: 's',
        value: median(compared),
        limit: median(hashed) * LIMIT.hashing,
        detail: { hashed, compared },
      },
      {
        name: 'the same again, with the hash tree of the good side kept',
        unit: 's',
        value: median(again),
        limit: median(compared),
      },
      { name: 'peak RSS of the process that compares them', unit: 'MB', value: Math.max(...peaks), limit: LIMIT.mb },
    ];
    if (process.env.REPRISE_BENCH_DATA_DIFF === 'no') return figures;
    const other = await dataDiff(lab, say);
    return [
      ...figures,
      {
        name: `the same against a tenth of data-diff's time (${other.toFixed(0)} s)`,
        unit: 's',
        value: median(compared),
        limit: other / LIMIT.dataDiff,
      },
    ];
  });

async function fill(lab, say) {
  say(`filling ${ROWS} rows`);
  await lab.sql("CREATE ROLE reader LOGIN PASSWORD 'reader'; GRANT pg_read_all_data TO reader");
  await lab.sql(
    `CREATE TABLE public.appointments (id bigint PRIMARY KEY, citizen text NOT NULL, service int NOT NULL, at timestamptz NOT NULL, status text NOT NULL, note text);
     INSERT INTO public.appointments SELECT i * 2, 'citizen ' || md5(i::text), i % 40, timestamptz '2026-01-01' + i * interval '7 seconds',
       (ARRAY['booked', 'done', 'cancelled'])[1 + i % 3], CASE WHEN i % 5 = 0 THEN 'note ' || i END FROM generate_series(1, ${ROWS}) i`,
    'mairie',
  );
  await lab.sql('VACUUM ANALYZE public.appointments', 'mairie');
  await withClient(lab.scratch.connection, 'postgres', (client) =>
    client.query('CREATE DATABASE good TEMPLATE mairie'),
  );
  // Keys are even: extra ones lie between them.
  const step = 2 * Math.floor(ROWS / EACH);
  await lab.sql(
    `DELETE FROM public.appointments WHERE id % ${step} = 2; UPDATE public.appointments SET status = 'lost' WHERE id % ${step} = 4;
     INSERT INTO public.appointments SELECT i * ${step} + 1, 'x', 1, now(), 'extra', NULL FROM generate_series(1, ${EACH}) i`,
    'mairie',
  );
  // data-diff connects by TCP.
  await lab.sql("ALTER SYSTEM SET listen_addresses = '127.0.0.1'");
  await appendFile(join(lab.scratch.dataDir, 'pg_hba.conf'), 'host all all 127.0.0.0/8 scram-sha-256\n');
  await service(lab.scratch).stop('fast');
  await service(lab.scratch).start();
}

const hash = (connection, database) =>
  withClient(
    connection,
    database,
    (client) =>
      client.query(
        `SELECT count(*), sum(('x' || substr(md5(t::text), 1, 16))::bit(64)::bigint) FROM public.appointments t`,
      ),
    READER,
  );

/** In a process of its own, so that nothing else of the bench is in its memory. */
async function child(connection) {
  const { stdout } = await run(process.execPath, [fileURLToPath(import.meta.url), JSON.stringify(connection)]);
  return JSON.parse(stdout);
}

async function once(connection, leftTree) {
  const both = (left, right) =>
    compareTables({
      ...{ left, right, table: { schema: 'public', table: 'appointments' }, sampleLimit: 20, leftTree },
      signal: new AbortController().signal,
    });
  const found = await withClient(
    connection,
    'good',
    (left) => withClient(connection, 'mairie', (right) => both(left, right), READER),
    READER,
  );
  const { missing, changed, extra, same } = found;
  if (missing !== EACH || changed !== EACH || extra !== EACH || same !== ROWS - 2 * EACH)
    throw new Error(`the comparison found ${JSON.stringify({ missing, changed, extra, same })}`);
  return found.seconds;
}

/** As its authors have it: every column, four threads. */
async function dataDiff({ scratch: { connection } }, say) {
  const directory = await mkdtemp(join(tmpdir(), 'reprise-bench-'));
  try {
    say('installing data-diff');
    const venv = join(directory, 'venv');
    await run('python3', ['-m', 'venv', venv]);
    await run(join(venv, 'bin/pip'), [
      ...['install', '-q', 'data-diff==0.11.2', 'dbt-core==1.7.19', 'pydantic<2', 'psycopg2-binary'],
    ]);
    const at = (database) => `postgresql://reader:reader@127.0.0.1:${connection.port}/${database}`;
    const columns = ['citizen', 'service', 'at', 'status', 'note'].flatMap((name) => ['-c', name]);
    const diff = [at('good'), 'public.appointments', at('mairie'), 'public.appointments', '-k', 'id', ...columns];
    const taken = await seconds(async () => {
      const { stdout } = await run(join(venv, 'bin/data-diff'), [...diff, '--threads', '4', '--stats']);
      say(
        stdout
          .trim()
          .split('\n')
          .filter((line) => / rows? /.test(line))
          .join('; '),
      );
    });
    say(`data-diff took ${taken.toFixed(1)} s`);
    return taken;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const connection = JSON.parse(process.argv[2]);
  const kept = new Map();
  const store = {
    read: async (terms) => kept.get(terms) ?? null,
    write: async (terms, tree) => void kept.set(terms, tree),
  };
  const first = await once(connection, store);
  const again = await once(connection, store);
  const peakMb = process.resourceUsage().maxRSS / 1024;
  process.stdout.write(JSON.stringify({ seconds: first, again, peakMb }));
}
