import { describe, expect, it } from '@jest/globals';
import { walgEngine as engine } from '../../../src/engines/walg/walg-engine.js';
import { makeGround } from '../../contract/engine-fixture.js';
import { asBackup } from '../../contract/engine-suite.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { recoverBeside } from '../../helpers/recovered.js';
import { runQuery } from '../../helpers/postgres.js';
import { startVersity } from '../../helpers/s3-servers.js';
import { archiveSegment } from '../../helpers/wal-segment.js';
import { startWalgCluster, walgOnS3 } from '../../helpers/walg.js';

failOnLeakedProcesses();

describe('P2 on S3, with TLS and the settings of an environment file', () => {
  it('backs up, lists, verifies, and recovers to a time', async () => {
    const s3 = await startVersity();
    const bucket = await s3.bucket('asso-prod-backups');
    const source = await startWalgCluster({ version: 15, env: await walgOnS3(s3, bucket) });
    const ground = await makeGround(source.cluster, 'walg', source.options, { databases: ['postgres'] });
    const sql = async (text: string): Promise<Record<string, string>> =>
      ((await runQuery(source.cluster, 'postgres', text)).rows as Record<string, string>[])[0] ?? {};
    await sql('CREATE TABLE rdv AS SELECT generate_series(1, 700) AS n');
    const context = await ground.context('backup on s3');
    await engine.preflightBackup(context);
    const [made] = await engine.backup(context, { type: 'full', startedAt: new Date().toISOString() });
    if (made === undefined) throw new Error('no backup was made');
    expect((await engine.list(await ground.context('list'))).map(({ label }) => label)).toEqual([made.label]);
    const verdict = await engine.verify(await ground.context('verify'), asBackup(made));
    expect(verdict).toMatchObject({ ok: true, detail: expect.stringContaining('fetched and unpacked') as unknown });

    await sql('SELECT pg_sleep(1.1)');
    await sql('INSERT INTO rdv VALUES (701)');
    const { time = '' } = await sql(
      `SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS time`,
    );
    await sql('DELETE FROM rdv');
    await archiveSegment(source.cluster);

    const recovery = await ground.context('recover');
    const outline = await engine.outlineRecovery(recovery, {
      target: { kind: 'time', time },
      candidates: [asBackup(made)],
      oldDataDir: null,
      databases: [],
    });
    const recovered = await recoverBeside(recovery, outline, { engine });
    expect((await runQuery(recovered, 'postgres', 'SELECT count(*)::int AS rows FROM rdv')).rows).toEqual([
      { rows: 701 },
    ]);
    await recovered.remove();

    // Before the storage: its archiver would wait for it.
    await source.cluster.stop('immediate');
  });
});
