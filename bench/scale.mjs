/** A hundred clusters' schedules on one worker, all fired at once: what one backup costs the worker and Temporal. */
import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { applySchedules } from '../dist/client/schedules/apply-schedules.js';
import { scheduleId } from '../dist/domain/operation/names.js';
import { service } from '../dist/demo/cluster.js';
import { Lab, cpuMs, median, peakMb } from './lab.mjs';

const CLUSTERS = Number(process.env.REPRISE_BENCH_CLUSTERS ?? 100);
const LIMIT = { cpuMs: 1000, events: 100, bytes: 50_000, mb: 350 };

export const scale = (say) =>
  Lab.with(async (lab) => {
    const { dataDir } = lab.scratch;
    // One server at a hundred addresses: to the config and to Temporal these are a hundred clusters.
    await lab.sql("ALTER SYSTEM SET listen_addresses = '*'");
    await appendFile(join(dataDir, 'pg_hba.conf'), 'host all all 127.0.0.0/8 scram-sha-256\n');
    await service(lab.scratch).stop('fast');
    await service(lab.scratch).start();
    const names = Array.from({ length: CLUSTERS }, (_none, index) => `c${String(index + 1).padStart(3, '0')}`);
    const clusters = names.map((name, index) => {
      const cluster = lab.cluster({ ...lab.logical, proof: 'verify', schedule: { cron: '0 3 * * *' } });
      // Two clusters never have one data directory; dumps need none.
      return [
        name,
        {
          ...cluster,
          data_dir: undefined,
          service: undefined,
          connection: { ...cluster.connection, host: `127.0.1.${index + 1}` },
        },
      ];
    });
    await lab.serve(Object.fromEntries(clusters), { host: { heavy_slots: 4 } });
    const { pid } = lab.worker;
    await applySchedules(lab.session, lab.config);
    const before = await cpuMs(pid);
    const { client } = lab.session;
    await Promise.all(names.map((name) => client.schedule.getHandle(scheduleId(name, 'policy')).trigger()));
    const ended = await untilEnded(client, names.length, say);
    const wrong = ended.filter(({ status }) => status !== 'COMPLETED');
    if (wrong.length > 0)
      throw new Error(
        `${wrong.length} of ${ended.length} backups did not complete: ${wrong[0].workflowId} ${wrong[0].status}`,
      );
    const each = ` of a scheduled backup, ${names.length} at once on one worker`;
    const cpu = ((await cpuMs(pid)) - before) / ended.length;
    return [
      { name: `CPU of the worker${each}`, unit: 'ms', value: cpu, limit: LIMIT.cpuMs },
      {
        name: `events in the history${each} (median)`,
        unit: 'events',
        value: median(ended.map(({ events }) => events)),
        limit: LIMIT.events,
      },
      {
        name: `size of the history${each} (median)`,
        unit: 'bytes',
        value: median(ended.map(({ bytes }) => bytes)),
        limit: LIMIT.bytes,
      },
      {
        name: `peak RSS of the worker, ${names.length} clusters`,
        unit: 'MB',
        value: await peakMb(pid),
        limit: LIMIT.mb,
      },
    ];
  });

/** All backups that were started, once none runs any more. */
async function untilEnded(client, wanted, say) {
  let told = -1;
  for (const limit = Date.now() + 1_800_000; Date.now() < limit; await sleep(2000)) {
    const found = [];
    for await (const { workflowId, status, historyLength, historySize } of client.workflow.list({
      query: "WorkflowType = 'backup'",
    })) {
      found.push({ workflowId, status: status.name, events: historyLength, bytes: historySize ?? 0 });
    }
    const over = found.filter(({ status }) => status !== 'RUNNING');
    if (over.length !== told && over.length % 10 === 0) say(`${over.length} of ${wanted} backups are done`);
    told = over.length;
    if (over.length >= wanted) return over;
  }
  throw new Error('the backups did not end within half an hour');
}
