import { CopyObjectCommand, HeadObjectCommand, ListObjectsV2Command } from '@aws-sdk/client-s3';
import { beforeAll, describe, expect, it } from '@jest/globals';
import type { Backup } from '../../../src/domain/backup/backup.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { startMoto } from '../../helpers/s3-servers.js';
import type { S3Server } from '../../helpers/s3-servers.js';
import { answer, approved, planned, reaches, told } from '../../helpers/site-cli.js';
import { Site } from '../../helpers/site.js';

failOnLeakedProcesses();

let moto: S3Server;
let site: Site;

beforeAll(async () => {
  moto = await startMoto();
  // A thaw takes some looks, not minutes; everything else is as it would be.
  await fetch(`${moto.endpoint}/moto-api/state-manager/set-transition`, {
    method: 'POST',
    body: JSON.stringify({ model_name: 's3::keyrestore', transition: { progression: 'manual', times: 3 } }),
  });
  await moto.bucket('cold');
  site = await Site.create({ offsite: JSON.stringify({ type: 's3', ...moto.options('cold') }) });
  await site.startWorker();
});

/** As a lifecycle would: dump and roles go to a cold class, what is below 128 KiB and read by lists stays. */
async function freeze(): Promise<void> {
  const { Contents = [] } = await moto.client.send(
    new ListObjectsV2Command({ Bucket: 'cold', Prefix: 'mairie/dump/' }),
  );
  for (const { Key = '' } of Contents.filter((object) => /\.(dump|sql)$/.test(object.Key ?? ''))) {
    await moto.client.send(
      new CopyObjectCommand({
        Bucket: 'cold',
        Key,
        CopySource: `cold/${Key}`,
        StorageClass: 'GLACIER',
        MetadataDirective: 'COPY',
      }),
    );
  }
}

describe('F13: a dump that lies in GLACIER', () => {
  it('is listed as cold, thawed after the approval, waited for, and restored with every row', async () => {
    const { backups } = await answer<{ backups: Backup[] }>(site, 'backup', 'run', 'mairie', '--policy', 'dump');
    const [backup] = backups as [Backup];
    const before = await site.contentHash();
    await site.query('DELETE FROM metier.demandes_rdv WHERE id % 2 = 0');
    await freeze();
    expect(await site.backups()).toMatchObject([{ id: backup.id, status: 'cold' }]);
    const { exit, document, error } = await told<{ plan: { binding: { thaw: unknown } } }>(
      site,
      'recover',
      'mairie',
      '--to',
      `backup:${backup.id}`,
      '--thaw-tier',
      'Expedited',
      '--dry-run',
    );
    expect([exit, error]).toEqual([0, null]);
    expect(document.plan.binding.thaw).toEqual({ tier: 'Expedited', days: 7 });
    const head = await moto.client.send(
      new HeadObjectCommand({ Bucket: 'cold', Key: `mairie/dump/${backup.label}.dump` }),
    );
    expect(head.Restore).toBeUndefined();

    const started = await planned(site, '--to', `backup:${backup.id}`, '--thaw-tier', 'Expedited');
    await approved(site, started);
    expect(await reaches(site, started.workflowId, 'waiting-thaw')).toMatchObject({
      waitingFor: expect.stringContaining('tier Expedited'),
    });
    await reaches(site, started.workflowId, 'completed');
    expect(await site.contentHash()).toEqual(before);
  });
});
