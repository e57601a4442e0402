import { readdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { ListMultipartUploadsCommand } from '@aws-sdk/client-s3';
import { beforeAll, describe, expect, it } from '@jest/globals';
import type { Progress } from '../../../src/domain/operation/progress.js';
import { basebackupEngine as engine } from '../../../src/engines/basebackup/basebackup-engine.js';
import { spoolOf } from '../../../src/engines/basebackup/repository/names.js';
import type { EngineContext } from '../../../src/engines/engine.js';
import { resolveSecret } from '../../../src/process/exec/secrets.js';
import { readJobs } from '../../../src/process/jobs/supervisor.js';
import { readS3Options } from '../../../src/storage/s3/options.js';
import { openS3 } from '../../../src/storage/s3/s3-storage.js';
import { onlyBackup } from '../../contract/engine-suite.js';
import { startReceivedCluster } from '../../helpers/basebackup.js';
import type { BaseCluster } from '../../helpers/basebackup.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { startReceiver } from '../../helpers/receiver.js';
import { startMeddler } from '../../helpers/meddler.js';
import { startMinio } from '../../helpers/s3-servers.js';
import type { S3Server } from '../../helpers/s3-servers.js';
import { startBadNetwork } from '../../helpers/toxiproxy.js';
import type { BadNetwork } from '../../helpers/toxiproxy.js';

failOnLeakedProcesses();

let minio: S3Server;
let network: BadNetwork;
let source: BaseCluster;
let refused = false;
let second = 0;

const newRequest = () =>
  ({ type: 'full', startedAt: new Date(Date.UTC(2026, 10, 21, 3, 0, second++)).toISOString() }) as const;
const unfinished = async (): Promise<unknown[]> =>
  (await minio.client.send(new ListMultipartUploadsCommand({ Bucket: 'base' }))).Uploads ?? [];
const dumpsOf = async (operation: string) =>
  (await readJobs(source.ground.stateDir, operation))
    .filter(({ tool }) => tool === 'pg_basebackup')
    .map(({ starts }) => starts);

/** A context that tells when the first bytes of the backup are on their way. */
async function watched(operation: string, then: () => void): Promise<EngineContext> {
  const context = await source.context(operation);
  let begun = false;
  const report = (progress: Progress): void => {
    if (begun || !progress.phase.endsWith('to the repository')) return;
    begun = true;
    then();
  };
  return { ...context, report };
}

beforeAll(async () => {
  minio = await startMinio();
  await minio.bucket('base');
  network = await startBadNetwork(minio.port);
  const endpoint = await startMeddler(network.port, ({ method }) =>
    refused && method === 'PUT' ? { status: 403 } : null,
  );
  const options = readS3Options(minio.options('base', { endpoint, part_size: '5MiB' }));
  source = await startReceivedCluster({}, ['mairie'], () => openS3(options, resolveSecret));
  startReceiver(await source.context('receiver'));
});

describe('K8 on S3: a network and a server that fail while a base backup is stored', () => {
  it('F10: one that is gone for seconds is outlasted, and leaves no part behind', async () => {
    let cutOff = false;
    const context = await watched('cut off', () => {
      cutOff = true;
      void network.enable(false);
      void sleep(4_000).then(() => network.enable(true));
    });
    const backup = onlyBackup(await engine.backup(context, newRequest()));
    expect(await engine.verify(await source.context('verify cut off'), backup)).toMatchObject({ ok: true });
    expect([cutOff, await unfinished(), await dumpsOf('cut off')]).toEqual([true, [], [1]]);
  });

  it('F12: what the server refuses fails as that at once, leaves nothing of a cluster’s size behind, and hinders no later backup', async () => {
    const context = await watched('refused', () => (refused = true));
    await expect(engine.backup(context, newRequest())).rejects.toMatchObject({ code: 'storage-refused' });
    refused = false;
    await expect(readdir(spoolOf(context))).rejects.toMatchObject({ code: 'ENOENT' });
    const backup = onlyBackup(await engine.backup(await source.context('afterwards'), newRequest()));
    expect(await engine.verify(await source.context('verify afterwards'), backup)).toMatchObject({ ok: true });
    expect(
      (await engine.list(await source.context('list')))
        .filter(({ damaged }) => damaged === undefined)
        .map(({ label }) => label),
    ).toContain(backup.label);
    expect(await unfinished()).toEqual([]);
  });
});
