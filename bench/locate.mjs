/**
 * `table locate` over backups, and an hour of commits of pgbench between two of them: how many restores and replays find the transaction
 * that deleted a row with many others.
 *
 * REPRISE_BENCH_BACKUPS (30), REPRISE_BENCH_COMMITS (36000: an hour of ten a second), REPRISE_BENCH_SCALE (1)
 */
import { startBackup, startLocate } from '../dist/client/start.js';
import { Lab, seconds } from './lab.mjs';

const backups = Number(process.env.REPRISE_BENCH_BACKUPS ?? 30);
const commits = Number(process.env.REPRISE_BENCH_COMMITS ?? 36_000);
const scale = Number(process.env.REPRISE_BENCH_SCALE ?? 1);
/** After which backup the rows are deleted: neither half, nor an end. */
const damagedAfter = Math.ceil(backups * 0.63);
const DELETE = 'WITH gone AS (DELETE FROM public.pgbench_accounts WHERE aid % 3 = 0 RETURNING 1)';

export function locate(say) {
  return Lab.with(async (lab) => {
    await lab.fill(scale);
    await lab.serve({ mairie: lab.cluster(lab.physical) });
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
    let found;
    const took = await seconds(async () => {
      const table = { schema: 'public', table: 'pgbench_accounts' };
      const condition = { kind: 'key', column: 'aid', value: '3' };
      const asked = { database: 'mairie', table, condition };
      const { handle } = await startLocate(lab.session, { cluster: 'mairie', requester: 'bench', order: asked });
      found = await handle.result();
    });
    if (found.transaction?.xid !== culprit)
      throw new Error(`found ${JSON.stringify(found.transaction)}, and ${culprit} did it`);
    const name = `\`table locate\` over ${backups} backups and ${commits} commits between two of them`;
    const detail = { seconds: took, probes: found.probes.length, restores: found.restores, replays: found.replays };
    return [
      { name: `${name}: restores`, unit: '', value: found.restores, limit: Math.log2(backups) + 2, detail },
      { name: `${name}: replays of WAL`, unit: '', value: found.replays, limit: 1, detail },
    ];
  });
}
