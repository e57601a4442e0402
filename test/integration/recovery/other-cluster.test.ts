import { copyFile, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import type { Backup } from '../../../src/domain/backup/backup.js';
import type { Finding } from '../../../src/domain/findings.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { runAsPostgres } from '../../helpers/postgres-user.js';
import { runQuery } from '../../helpers/postgres.js';
import { pgCtl } from '../../helpers/site-template.js';
import { Site } from '../../helpers/site.js';

failOnLeakedProcesses();

let site: Site;
let old: Backup;
let rows: number;

/** As after pg_upgrade: a new system identifier in the place of the old one, and the stanza upgraded for it. */
async function becomeAnotherCluster(): Promise<void> {
  const { dataDir, pgbackrestConf } = site.places;
  await pgCtl(site.binDir, dataDir, 'stop');
  await rename(dataDir, `${dataDir}.before`);
  await runAsPostgres(join(site.binDir, 'initdb'), ['-D', dataDir, '--auth=trust', '--data-checksums', '--no-sync']);
  const settings = await readFile(join(`${dataDir}.before`, 'postgresql.conf'), 'utf8');
  const own = await readFile(join(dataDir, 'postgresql.conf'), 'utf8');
  await writeFile(
    join(dataDir, 'postgresql.conf'),
    `${own}\n${settings.slice(settings.lastIndexOf(`\nport = ${site.places.port}`))}`,
  );
  await copyFile(join(`${dataDir}.before`, 'pg_hba.conf'), join(dataDir, 'pg_hba.conf'));
  await site.startServer();
  await site.query('CREATE DATABASE mairie', 'postgres');
  await site.query(
    'CREATE SCHEMA metier; CREATE TABLE metier.communes (n int); INSERT INTO metier.communes VALUES (1)',
  );
  await runAsPostgres('pgbackrest', [`--config=${pgbackrestConf}`, '--stanza=main', 'stanza-upgrade']);
}

beforeAll(async () => {
  site = await Site.create();
  await site.startWorker();
  rows = await site.commit(5);
  await site.backUp('physical', 'full');
  old = (await site.backups()).at(-1) as Backup;
  await becomeAnotherCluster();
  await site.backUp('physical', 'full');
}, 300_000);

describe('W12: after an upgrade, with a backup of the cluster as it was before', () => {
  it('the backup is named as such in lists, and the check speaks of the present cluster', async () => {
    const backups = await site.backups();
    expect(backups.map(({ otherCluster }) => otherCluster)).toEqual([
      { systemIdentifier: old.server?.systemIdentifier, major: 15 },
      undefined,
    ]);
    expect((await site.cli('backup', 'show', old.id)).stdout).toContain(
      `another cluster than the present one (PostgreSQL 15, system identifier ${old.server?.systemIdentifier})`,
    );
    const { stdout } = await site.cli('check', 'mairie', '--json');
    const { findings } = JSON.parse(stdout) as { findings: Finding[] };
    expect(findings.find(({ check }) => check === 'wal/mairie/physical')).toMatchObject({
      level: 'ok',
      message: expect.stringContaining('1 older backup is of another system identifier, as before an upgrade'),
    });
  });

  it('it is refused in place, with the reason and the way; beside it is recovered', async () => {
    const { code, stderr } = await site.cli('recover', 'mairie', '--to', `backup:${old.id}`, '--dry-run', '--json');
    expect({ exit: code, ...(JSON.parse(stderr) as object) }).toMatchObject({
      exit: 9,
      error: {
        code: 'identity-mismatch',
        message: expect.stringContaining('it is not recovered in place'),
        hint: expect.stringContaining(`reprise recover mairie --to backup:${old.id} --into NAME`),
      },
    });
    const work = await site.recover('physical', { kind: 'backup', id: old.id }, 'beside');
    const plan = await site.approve(work);
    expect(plan.binding.systemIdentifier).toBe(old.server?.systemIdentifier);
    await site.recovered(work);
    const beside = { ...site.server, port: site.places.port + 1 };
    const { rows: found } = await runQuery(beside, 'mairie', 'SELECT count(*)::int AS n FROM metier.demandes_rdv');
    expect(found).toEqual([{ n: rows }]);
    await pgCtl(site.binDir, join(site.root, 'beside'), 'stop');
  }, 300_000);
});
