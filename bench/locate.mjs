/**
 * `table locate` over backups, and an hour of commits of pgbench between two of them: how many restores, replays and moves find the
 * transaction that deleted a row with many others; by the row, which is followed through the WAL, and by a query, which the replay alone tells.
 *
 * REPRISE_BENCH_BACKUPS (30), REPRISE_BENCH_COMMITS (36000: an hour of ten a second), REPRISE_BENCH_SCALE (1)
 */
import { startBackup, startLocate } from '../dist/client/start.js';
import { Lab, median, seconds } from './lab.mjs';

const backups = Number(process.env.REPRISE_BENCH_BACKUPS ?? 30);
const commits = Number(process.env.REPRISE_BENCH_COMMITS ?? 36_000);
const scale = Number(process.env.REPRISE_BENCH_SCALE ?? 1);
/** After which backup the rows are deleted: neither half, nor an end. */
const damagedAfter = Math.ceil(backups * 0.63);
const TABLE = { schema: 'public', table: 'pgbench_accounts' };
/** A commit deletes a third of 100,000 rows a scale. */
const ENOUGH = `SELECT count(*) > ${scale * 90_000} FROM public.pgbench_accounts`;
const DELETE = 'WITH gone AS (DELETE FROM public.pgbench_accounts WHERE aid % 3 = 0 RETURNING 1)';

export function locate(say) {
  return Lab.with(async (lab) => {
    await lab.fill(scale);
    const invariants = { enough: { query: ENOUGH } };
    const tables = { 'public.pgbench_accounts': { database: 'mairie', invariants } };
    await lab.serve({ mairie: lab.cluster(lab.physical, { tables }) });
    const order = { policy: 'policy', type: 'auto' };
    // How fast they are written is not what is counted.
    const notSynced = { PGOPTIONS: '-c synchronous_commit=off' };
    const pgbench = (transactions) =>
      lab.tool(
        'pgbench',
        ['--no-vacuum', '--client=4', `--transactions=${Math.ceil(transactions / 4)}`, 'mairie'],
        notSynced,
      );
    let culprit = null;
    for (let count = 1; count <= backups; count++) {
      const { handle } = await startBackup(lab.session, { cluster: 'mairie', requester: 'bench', order });
      await handle.result();
      say(`${count} of ${backups} backups are made`);
      await pgbench(count === damagedAfter ? commits / 2 : 100);
      if (count !== damagedAfter) continue;
      const rows = await lab.sql(`${DELETE} SELECT pg_current_xact_id()::text AS xid FROM gone LIMIT 1`, 'mairie');
      culprit = rows[0].xid;
      await pgbench(commits / 2);
    }
    const figures = [];
    for (const condition of [
      { kind: 'key', column: 'aid', value: '3' },
      { kind: 'invariant', name: 'enough' },
    ]) {
      const { restores, replays, ...detail } = await searched(lab, condition, culprit, say);
      const name = `\`table locate\` by ${condition.kind} over ${backups} backups and ${commits} commits between two of them`;
      figures.push(
        { name: `${name}: restores`, unit: '', value: restores, limit: Math.log2(backups) + 2, detail },
        { name: `${name}: replays of WAL`, unit: '', value: replays, limit: 1, detail },
      );
    }
    return figures;
  });
}

async function searched(lab, condition, culprit, say) {
  let work;
  let found;
  const took = await seconds(async () => {
    const order = { database: 'mairie', table: TABLE, condition };
    work = await startLocate(lab.session, { cluster: 'mairie', requester: 'bench', order });
    found = await work.handle.result();
  });
  if (found.transaction?.xid !== culprit)
    throw new Error(`found ${JSON.stringify(found.transaction)}, and ${culprit} did it`);
  const { restores, replays } = found;
  const moves = found.probes.filter(({ what }) => what === 'commit').length;
  const { phases } = await work.handle.query('status');
  const each = {};
  for (const { name, seconds: taken } of phases) if (taken !== null) (each[name] ??= []).push(Number(taken.toFixed(2)));
  const times = Object.fromEntries(Object.entries(each).map(([name, all]) => [name, median(all)]));
  say(`${condition.kind}: ${restores} restores, ${replays} replays, ${moves} moves, ${took.toFixed(1)} s`);
  return { restores, replays, moves, seconds: took, medians: times };
}
