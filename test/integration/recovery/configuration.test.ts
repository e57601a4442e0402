import { appendFile, chmod, mkdir, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, it } from '@jest/globals';
import type { Backup } from '../../../src/domain/backup/backup.js';
import type { KeptItem } from '../../../src/domain/backup/records.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { giveToPostgres } from '../../helpers/postgres-user.js';
import { answer } from '../../helpers/site-cli.js';
import { pgCtl } from '../../helpers/site-template.js';
import { Site } from '../../helpers/site.js';

failOnLeakedProcesses();

const SECRET = `s3cret-${process.pid}`;
let site: Site;
let etc: string;
const stored = () => join(site.places.backupsDir, 'mairie', 'physical', 'configuration');

/** As Debian has it: nothing of the configuration lies in the data directory. */
beforeAll(async () => {
  site = await Site.create({ retention: '{ count: 1, min_proven: 1 }' });
  etc = join(site.root, 'etc', 'postgresql', 'main');
  const { dataDir } = site.places;
  await pgCtl(site.binDir, dataDir, 'stop', '--mode', 'fast');
  await mkdir(join(etc, 'conf.d'), { recursive: true });
  for (const name of ['postgresql.conf', 'pg_hba.conf', 'pg_ident.conf'])
    await rename(join(dataDir, name), join(etc, name));
  await appendFile(
    join(etc, 'postgresql.conf'),
    `\ninclude_dir 'conf.d'\nhba_file = '${etc}/pg_hba.conf'\nident_file = '${etc}/pg_ident.conf'\n`,
  );
  await writeFile(
    join(etc, 'conf.d', 'standby.conf'),
    `deadlock_timeout = '7s'\nprimary_conninfo = 'host=db2 user=rep password=${SECRET}'\n`,
    { mode: 0o640 },
  );
  await chmod(join(etc, 'pg_hba.conf'), 0o640);
  for (const name of ['.', 'conf.d', 'conf.d/standby.conf', '..', '../..']) await giveToPostgres(join(etc, name));
  await pgCtl(site.binDir, dataDir, 'start', '--log', `${dataDir}.log`, '-o', `-c config_file=${etc}/postgresql.conf`);
  await site.startWorker();
});

it('K2: configuration outside the data directory is captured with a physical backup, owner-only and without secrets, shown, and goes with it', async () => {
  const [first] = (await site.backUp('physical', 'full')).backups;
  const [second] = (await site.backUp('physical', 'full')).backups;
  // Retention let the first one go, with its configuration.
  expect(await readdir(stored())).toEqual([`${second?.label}.json`]);
  expect(first?.label).not.toBe(second?.label);
  const { backup } = await answer<{ backup: Backup }>(site, 'backup', 'show', second?.id ?? '');
  expect(backup.configuration).toMatchObject({ masked: 1, notCaptured: [] });
  expect(backup.configuration?.files.toSorted()).toEqual(
    ['conf.d/standby.conf', 'pg_hba.conf', 'pg_ident.conf', 'postgresql.conf'].map((name) => join(etc, name)),
  );
  const path = join(stored(), `${second?.label}.json`);
  expect((await stat(path)).mode & 0o077).toBe(0);
  const text = await readFile(path, 'utf8');
  expect(text).toContain('7s');
  expect(text).not.toContain(SECRET);
});

it('K2: a cluster whose configuration is lost too starts from the captured one; what is in place is never overwritten', async () => {
  const rows = await site.commit(20);
  const { dataDir } = site.places;
  await site.loseInstance('all');
  await rm(join(etc, 'postgresql.conf'));
  await rm(join(etc, 'conf.d'), { recursive: true });
  await appendFile(join(etc, 'pg_ident.conf'), '# changed since the backup\n');

  const work = await site.recover('physical', { kind: 'end-of-backup' });
  const plan = await site.approve(work);
  expect(plan.binding.putsBack?.toSorted()).toEqual([
    join(etc, 'conf.d', 'standby.conf'),
    join(etc, 'postgresql.conf'),
  ]);
  expect(await site.recovered(work)).toMatchObject({ state: 'completed' });
  expect(
    (
      await site.query(
        "SELECT current_setting('hba_file') AS hba, current_setting('deadlock_timeout') AS wait, current_setting('data_directory') AS data",
      )
    ).rows,
  ).toEqual([{ hba: join(etc, 'pg_hba.conf'), wait: '7s', data: dataDir }]);
  expect((await site.query('SELECT count(*)::int AS n FROM metier.demandes_rdv')).rows).not.toEqual([{ n: rows }]);
  expect(await readFile(join(etc, 'pg_ident.conf'), 'utf8')).toContain('changed since the backup');
  expect((await stat(join(etc, 'conf.d', 'standby.conf'))).mode & 0o777).toBe(0o640);

  const { kept } = await answer<{ kept: KeptItem[] }>(site, 'kept', 'list');
  const aside = kept.find(({ what }) => what.startsWith('configuration'))?.where ?? '';
  expect(await readFile(join(aside, etc, 'pg_ident.conf'), 'utf8')).not.toContain('changed');
  const { markdown } = await answer<{ markdown: string }>(site, 'incident', 'report', plan.binding.operationId);
  expect(markdown).toContain(`is in ${aside}`);
  expect(markdown).toContain('1 secrets in it were masked');
});
