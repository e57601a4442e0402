import { execFile } from 'node:child_process';
import { chmod, readdir, readFile, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from '@jest/globals';
import type { Backup } from '../../../src/domain/backup/backup.js';
import { walgEngine as engine } from '../../../src/engines/walg/walg-engine.js';
import { createJobs } from '../../../src/process/jobs/supervisor.js';
import { makeGround } from '../../contract/engine-fixture.js';
import type { Ground } from '../../contract/engine-fixture.js';
import { asBackup, toolOf } from '../../contract/engine-suite.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { giveToPostgres } from '../../helpers/postgres-user.js';
import { tempDir } from '../../helpers/temp.js';
import { startWalgCluster } from '../../helpers/walg.js';
import type { WalgCluster } from '../../helpers/walg.js';
import { bound } from '../../helpers/bound.js';

failOnLeakedProcesses();

let source: WalgCluster;
let ground: Ground;
let backup: Backup;
const partsDir = (): string => join(source.prefix, 'basebackups_005', backup.label, 'tar_partitions');

/** Does something to every archive of the backup: where only some are damaged, WAL-G waits a minute and tries them again. */
async function eachPart(harm: (path: string) => Promise<void>): Promise<() => Promise<void>> {
  const paths = (await readdir(partsDir()))
    .filter((name) => name.startsWith('part_'))
    .map((name) => join(partsDir(), name));
  const whole = await Promise.all(
    paths.map(async (path) => ({ path, content: await readFile(path), mode: (await stat(path)).mode })),
  );
  for (const path of paths) await harm(path);
  return async () => {
    for (const { path, content, mode } of whole) {
      await chmod(path, mode);
      await writeFile(path, content);
    }
  };
}
const cutOff = async (path: string): Promise<void> => truncate(path, Math.floor((await stat(path)).size / 2));

beforeAll(async () => {
  // Where it fetches one at a time, it tries nothing a second time.
  source = await startWalgCluster({
    version: 15,
    env: ['export WALG_FILE_PREFIX="@PREFIX@"', 'WALG_DOWNLOAD_CONCURRENCY=1'],
  });
  ground = await makeGround(source.cluster, 'walg', source.options, { databases: ['postgres'] });
  const [made] = await engine.backup(await ground.context('backup'), {
    type: 'full',
    startedAt: new Date().toISOString(),
  });
  if (made === undefined) throw new Error('no backup was made');
  backup = asBackup(made);
});

describe('a fetched backup', () => {
  it('D2: one whose tool was killed begins anew in the same directory', async () => {
    const root = await tempDir('restored');
    await chmod(root, 0o755);
    const request = { dataDir: join(root, 'data'), tablespaceDir: join(root, 'tablespaces') };
    // A part that never comes: WAL-G waits in its middle, with half of the files there.
    const part = join(partsDir(), 'part_001.tar.lz4');
    await rename(part, `${root}/part`);
    await promisify(execFile)('mkfifo', [part]);
    await giveToPostgres(part);
    const first = ground
      .context('killed restore')
      .then(async (context) =>
        engine.physical?.restoreFiles(context, { ...request, ...(await bound(engine, context, backup)) }),
      );
    const failed = first?.then(
      () => null,
      (error: { code?: string }) => error.code,
    );
    process.kill(await toolOf(ground.stateDir, 'killed restore'), 'SIGKILL');
    await rm(part);
    await rename(`${root}/part`, part);
    expect(['tool-failed', 'tool-rejected', null]).toContain(await failed);
    const context = await ground.context('killed restore');
    await engine.physical?.restoreFiles(context, { ...request, ...(await bound(engine, context, backup)) });
    expect((await stat(join(root, 'data', 'global', 'pg_control'))).size).toBe(8192);
    expect((await stat(join(root, 'data'))).mode & 0o777).toBe(0o700);
  });

  it('F15: one that ends at a damaged file leaves an empty directory, for `continue` and for the next plan', async () => {
    const root = await tempDir('restored');
    await chmod(root, 0o755);
    const request = { dataDir: join(root, 'data'), tablespaceDir: join(root, 'tablespaces') };
    const restore = async (operationId: string, retry?: number) => {
      const context = await ground.context(operationId);
      const { user, signal } = context;
      const jobs = createJobs({
        stateDir: ground.stateDir,
        operationId,
        user,
        signal,
        leaveOnAbort: () => false,
        report: () => undefined,
        ...(retry === undefined ? {} : { retry }),
      });
      await engine.physical?.restoreFiles(
        { ...context, jobs },
        { ...request, ...(await bound(engine, context, backup)) },
      );
    };
    let mend = await eachPart(cutOff);
    for (const retry of [undefined, 1]) {
      await expect(restore('damaged restore', retry)).rejects.toMatchObject({ code: 'backup-corrupt' });
      expect(await readdir(request.dataDir)).toEqual([]);
    }
    await mend();
    await restore('damaged restore', 2);
    expect((await stat(join(request.dataDir, 'global', 'pg_control'))).size).toBe(8192);
    await rm(request.dataDir, { recursive: true });

    mend = await eachPart(cutOff);
    await expect(restore('another damaged restore')).rejects.toMatchObject({ code: 'backup-corrupt' });
    await mend();
    await restore('the next plan');
    expect((await stat(join(request.dataDir, 'global', 'pg_control'))).size).toBe(8192);
  });

  it('F6: a verification that fails for good leaves nothing in scratch', async () => {
    const { sha256: _none, ...unrecorded } = backup;
    const mend = await eachPart((part) => chmod(part, 0));
    await expect(engine.verify(await ground.context('verify'), unrecorded)).rejects.toMatchObject({
      code: 'privilege-missing',
    });
    await mend();
    expect((await readdir(join(ground.stateDir, 'scratch'))).filter((name) => name.startsWith('verify-'))).toEqual([]);
  });
});
