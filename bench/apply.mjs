/**
 * 100,000 corrections of a table of 500,000 rows, a third of them each to insert, to update and to delete: by Reprise, from the file of an
 * approved change set to the commit, with the login that it makes and drops; and by hand, with COPY into a temporary table and one MERGE, which
 * looks as well whether each row is as it was. Who comes first changes with every pair.
 *
 * REPRISE_BENCH_CHANGES (100000), REPRISE_BENCH_PAIRS (5): medians of so many.
 */
import { join } from 'node:path';
import process from 'node:process';
import { once } from 'node:events';
import { from as copyFrom } from 'pg-copy-streams';
import { withClient } from '../dist/postgres/connection/with-client.js';
import { applyChanges } from '../dist/postgres/repair/apply-changes.js';
import { withChangeSet, writeChangeSet } from '../dist/postgres/repair/change-set-file.js';
import { closeRepairLogin, openRepairLogin } from '../dist/postgres/repair/repair-login.js';
import { readTableFacts } from '../dist/postgres/repair/table-facts.js';
import { Lab, median, pairs, seconds } from './lab.mjs';

const CHANGES = Number(process.env.REPRISE_BENCH_CHANGES ?? 100_000);
const ROWS = 5 * CHANGES;
const LIMIT = 1.5;
const COLUMNS = ['id', 'citizen', 'service', 'at', 'status', 'note'];
const table = { schema: 'office', table: 'appointments' };
const NAME = 'office.appointments';

export const apply = (say) =>
  Lab.with(async (lab) => {
    const file = join(lab.scratch.root, 'changes.jsonl');
    const { digest, lines } = await fill(lab, file, say);
    const [ours, byHand] = [[], []];
    const turns = [
      [ours, () => repair(lab, file, digest)],
      [byHand, () => merge(lab, lines)],
    ];
    for (let pair = 1; pair <= pairs; pair++) {
      for (const [times, run] of pair % 2 === 1 ? turns : turns.toReversed()) {
        await damage(lab);
        times.push(await seconds(run));
        await requireGood(lab);
      }
      say(`pair ${pair}: by Reprise in ${ours.at(-1).toFixed(1)} s, by hand in ${byHand.at(-1).toFixed(1)} s`);
    }
    return [
      {
        name: `applying ${CHANGES} corrections to a table of ${ROWS} rows, against ${LIMIT} times COPY and MERGE by hand`,
        unit: 's',
        value: median(ours),
        limit: median(byHand) * LIMIT,
        detail: { ours, byHand },
      },
    ];
  });

/** The good rows, the damaged ones, and the changes between them: as a change set, and as lines for COPY. */
async function fill(lab, file, say) {
  say(`filling ${ROWS} rows`);
  await lab.sql('CREATE ROLE clerk NOLOGIN');
  await lab.sql(
    `CREATE SCHEMA office AUTHORIZATION clerk; CREATE TABLE public.good AS SELECT i AS id, 'citizen ' || md5(i::text) AS citizen,
       i % 40 AS service, timestamptz '2026-01-01' + i * interval '7 seconds' AS at, (ARRAY['booked', 'done', 'cancelled'])[1 + i % 3] AS status,
       CASE WHEN i % 5 = 0 THEN 'note ' || i END AS note FROM generate_series(1::bigint, ${ROWS}) i;
     CREATE TABLE public.bad AS SELECT id, citizen, service, at, CASE WHEN id % 15 = 7 THEN 'lost' ELSE status END AS status, note
       FROM public.good WHERE id % 15 <> 3;
     INSERT INTO public.bad SELECT ${ROWS} + i, 'x', 1, '2026-01-01', 'extra', NULL FROM generate_series(1, ${Math.floor(CHANGES / 3)}) i`,
    'mairie',
  );
  const texts = (name) => COLUMNS.map((one) => `${name}.${one}::text`).join(', ');
  const rows = await withClient(lab.scratch.connection, 'mairie', async (client) => {
    await client.query("SET TimeZone TO 'UTC'");
    const found = await client.query(
      `SELECT ARRAY[${texts('g')}] AS after, ARRAY[${texts('b')}] AS before FROM public.good g FULL JOIN public.bad b USING (id)
        WHERE g IS DISTINCT FROM b ORDER BY id`,
    );
    return found.rows;
  });
  const changes = rows.map(({ before, after }) =>
    before[0] === null
      ? { op: 'insert', after }
      : after[0] === null
        ? { op: 'delete', before }
        : { op: 'update', before, after },
  );
  say(`${changes.length} corrections`);
  const digest = await writeChangeSet(
    file,
    { database: 'mairie', table, columns: COLUMNS, key: ['id'] },
    changes,
    null,
  );
  const text = (row) => row.map((value) => value ?? '\\N').join('\t');
  const lines = rows.map(
    ({ before, after }, at) => `${changes[at].op[0]}\t${before[0] ?? after[0]}\t${text(before)}\t${text(after)}\n`,
  );
  return { digest, lines };
}

/** The damaged table, as it would be found. */
async function damage(lab) {
  await lab.sql(
    `DROP TABLE IF EXISTS ${NAME}; CREATE TABLE ${NAME} (id bigint PRIMARY KEY, citizen text NOT NULL, service int NOT NULL,
       at timestamptz NOT NULL, status text NOT NULL, note text); ALTER TABLE ${NAME} OWNER TO clerk;
     INSERT INTO ${NAME} SELECT * FROM public.bad ORDER BY id; CREATE INDEX ON ${NAME} (at)`,
    'mairie',
  );
  await lab.sql(`VACUUM ANALYZE ${NAME}`, 'mairie');
  await lab.sql('CHECKPOINT');
}

async function requireGood(lab) {
  const [{ count }] = await lab.sql(
    `SELECT count(*)::int FROM (SELECT * FROM ${NAME} EXCEPT ALL SELECT * FROM public.good) AS other`,
    'mairie',
  );
  const [{ rows }] = await lab.sql(`SELECT count(*)::int AS rows FROM ${NAME}`, 'mairie');
  if (count !== 0 || rows !== ROWS) throw new Error(`the table is not as it was: ${count} other rows of ${rows}`);
}

function repair({ scratch: { connection } }, file, digest) {
  return withClient(connection, 'mairie', async (superuser) => {
    const facts = await readTableFacts(superuser, table);
    const login = await openRepairLogin(superuser, connection, { operationId: 'bench', table }, facts);
    try {
      await withClient(
        login.connection,
        'mairie',
        (client) =>
          withChangeSet(file, digest, ({ header, entries }) =>
            applyChanges(client, header, facts, entries(), {
              ...{ fireTriggers: false, onChanged: 'stop', from: 0 },
              beforeCommit: async () => undefined,
            }),
          ),
        login.options,
      );
    } finally {
      await closeRepairLogin(superuser, 'bench');
    }
  });
}

/** What a careful person would write. */
function merge({ scratch: { connection } }, lines) {
  return withClient(connection, 'mairie', async (client) => {
    const side = (prefix) =>
      `${prefix}_id bigint, ${prefix}_citizen text, ${prefix}_service int, ${prefix}_at timestamptz, ${prefix}_status text, ${prefix}_note text`;
    await client.query(
      `BEGIN; SET LOCAL "TimeZone" TO 'UTC'; CREATE TEMPORARY TABLE changes (op "char", id bigint, ${side('b')}, ${side('a')}) ON COMMIT DROP`,
    );
    const stream = client.query(copyFrom('COPY changes FROM STDIN'));
    for (let at = 0; at < lines.length; at += 1000)
      if (!stream.write(lines.slice(at, at + 1000).join(''))) await once(stream, 'drain');
    stream.end();
    await once(stream, 'finish');
    await client.query('ANALYZE changes');
    const same = COLUMNS.map((one) => `t.${one} IS NOT DISTINCT FROM c.b_${one}`).join(' AND ');
    const { rowCount } = await client.query(
      `MERGE INTO ${NAME} t USING changes c ON t.id = c.id
         WHEN MATCHED AND c.op = 'd' AND ${same} THEN DELETE
         WHEN MATCHED AND c.op = 'u' AND ${same} THEN UPDATE SET ${COLUMNS.slice(1)
           .map((one) => `${one} = c.a_${one}`)
           .join(', ')}
         WHEN NOT MATCHED AND c.op = 'i' THEN INSERT VALUES (${COLUMNS.map((one) => `c.a_${one}`).join(', ')})`,
    );
    if (rowCount !== lines.length) throw new Error(`${rowCount} rows were changed, not ${lines.length}`);
    await client.query('COMMIT');
  });
}
