import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import type { Backup } from '../../../src/domain/backup/backup.js';
import type { RecoveryTarget } from '../../../src/domain/target/target.js';
import { compareLsn } from '../../../src/domain/target/wal.js';
import type { BackupRequest, EngineContext, MadeBackup } from '../../../src/engines/engine.js';
import { parseBackupList } from '../../../src/engines/walg/backup-list.js';
import { walgEngine as engine } from '../../../src/engines/walg/walg-engine.js';
import { rearmArchiving } from '../../../src/postgres/wal/archiving.js';
import { makeGround } from '../../contract/engine-fixture.js';
import { asBackup } from '../../contract/engine-suite.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { recoverBeside } from '../../helpers/recovered.js';
import type { Recovered } from '../../helpers/recovered.js';
import { runQuery } from '../../helpers/postgres.js';
import type { ServerAddress } from '../../helpers/postgres.js';
import { closeSegment } from '../../helpers/wal-segment.js';
import { startWalgCluster } from '../../helpers/walg.js';

failOnLeakedProcesses();

describe('deltas after a recovery', () => {
  it('W5: rest only on what the server comes from; one that mixes two histories does not pass its verification; without the history of the newest timeline latest is refused', async () => {
    const source = await startWalgCluster({
      version: 15,
      env: ['export WALG_FILE_PREFIX="@PREFIX@"', 'export WALG_DELTA_MAX_STEPS="6"'],
    });
    const ground = await makeGround(source.cluster, 'walg', source.options, { databases: ['postgres'] });
    const made: Backup[] = [];
    let operations = 0;
    const newContext = () => ground.context(`timelines ${operations++}`);
    async function backUp(type: BackupRequest['type'], context?: EngineContext): Promise<Backup> {
      const [backup] = await engine.backup(context ?? (await newContext()), {
        type,
        startedAt: new Date().toISOString(),
      });
      if (backup === undefined) throw new Error('no backup was made');
      made.unshift(asBackup(backup));
      return asBackup(backup);
    }
    /** As the recovery of the cluster in place ends: promoted, archiving armed, and the server that is backed up from then on. */
    async function recover(
      target: RecoveryTarget,
    ): Promise<{ recovered: Recovered; there: () => Promise<EngineContext> }> {
      const context = await newContext();
      const outline = await engine.outlineRecovery(context, {
        target,
        candidates: made,
        oldDataDir: null,
        databases: [],
      });
      const recovered = await recoverBeside(context, outline, { engine, clone: false });
      await recovered.promote();
      const { dataDir, port } = recovered;
      const cluster = {
        ...context.cluster,
        dataDir,
        connection: { ...context.cluster.connection, host: '127.0.0.1', port },
      };
      await rearmArchiving(cluster.connection, engine.physical?.archiveCommand(context) ?? '');
      await engine.physical?.rearm({ ...context, cluster });
      return { recovered, there: async () => ({ ...(await newContext()), cluster }) };
    }
    await runQuery(
      source.cluster,
      'postgres',
      'CREATE TABLE rdv (n int); INSERT INTO rdv SELECT generate_series(1, 1000)',
    );
    const first = await backUp('full');
    await runQuery(
      source.cluster,
      'postgres',
      'SELECT pg_sleep(1.1); INSERT INTO rdv SELECT generate_series(1001, 2000)',
    );
    const second = await backUp('full');
    await closeSegment(source.cluster);
    await source.cluster.stop();

    // To the end of the log: what was made before is the new timeline's past too.
    const onward = await recover({ kind: 'latest' });
    const delta = await backUp('auto', await onward.there());
    expect(delta).toMatchObject({ type: 'incr', dependsOn: [second.label] });
    expect(delta.label).toMatch(/^base_00000002/);
    expect(await engine.verify(await onward.there(), delta)).toMatchObject({ ok: true });
    await onward.recovered.remove();

    // To before the newest ones, which are of a time that never was any more.
    const back = await recover({ kind: 'backup', id: first.id });
    await expect(backUp('incr', await back.there())).rejects.toMatchObject({
      code: 'no-usable-backup',
      message: expect.stringContaining(delta.label) as unknown,
      hint: expect.stringContaining('--type full') as unknown,
    });
    await passTheEndOf(
      parseBackupList(await source.walg('backup-list', '--json', '--detail')).at(-1)?.lsn.stop ?? '',
      back.recovered,
    );
    await expect(backUp('incr', await back.there())).rejects.toMatchObject({ code: 'no-usable-backup' });
    // By now WAL-G itself would take them for its base.
    await source.walgOn(back.recovered, 'backup-push', back.recovered.dataDir);
    const byHand = (await engine.list(await back.there())).at(-1)?.label ?? '';
    const mixed = asBackup((await engine.adoption?.describe(await back.there(), byHand)) as MadeBackup);
    expect(mixed).toMatchObject({ type: 'incr', dependsOn: [delta.label, second.label] });
    expect(mixed.label).toMatch(/^base_00000003/);
    expect(await engine.verify(await back.there(), mixed)).toMatchObject({
      ok: false,
      detail: expect.stringContaining('mix two timelines') as unknown,
    });

    const fresh = await backUp('auto', await back.there());
    expect(fresh).toMatchObject({ type: 'full', dependsOn: [] });
    expect(await backUp('incr', await back.there())).toMatchObject({ type: 'incr', dependsOn: [fresh.label] });
    await back.recovered.remove();

    // W5, F49: the newest timeline's history is lost, and no backup on it is a candidate.
    const wal = join(source.prefix, 'wal_005');
    for (const name of await readdir(wal)) if (name.startsWith('00000003.history')) await rm(join(wal, name));
    const outline = async (target: RecoveryTarget) =>
      engine.outlineRecovery(await newContext(), {
        target,
        candidates: [first, second],
        oldDataDir: null,
        databases: [],
      });
    await expect(outline({ kind: 'latest' })).rejects.toMatchObject({
      code: 'wal-gap',
      message: expect.stringMatching(/^WAL of timeline 3 is in the archive .*00000003\.history is missing/) as unknown,
    });
    expect((await outline({ kind: 'end-of-backup' })).warnings.join()).toContain('00000003.history is missing');
  });
});

/** WAL-G takes no base that ended after the server's position. */
async function passTheEndOf(end: string, server: ServerAddress): Promise<void> {
  for (let position = '0/0'; compareLsn(position, end) <= 0;) {
    await runQuery(server, 'postgres', 'INSERT INTO rdv SELECT generate_series(2001, 2010)');
    await closeSegment(server);
    position =
      ((await runQuery(server, 'postgres', 'SELECT pg_current_wal_lsn()::text AS lsn')).rows as { lsn: string }[])[0]
        ?.lsn ?? '';
  }
}
