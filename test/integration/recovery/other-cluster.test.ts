import { copyFile, mkdir, readdir, readFile, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Backup } from '../../../src/domain/backup/backup.js';
import type { Finding } from '../../../src/domain/findings.js';
import { isSegmentName, nextSegment } from '../../../src/domain/target/wal.js';
import { basebackupEngine } from '../../../src/engines/basebackup/basebackup-engine.js';
import { toolsDirectory } from '../../../src/process/exec/find-programs.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { runAsPostgres } from '../../helpers/postgres-user.js';
import { runQuery } from '../../helpers/postgres.js';
import { programs18 } from '../../helpers/programs-18.js';
import { pgCtl } from '../../helpers/site-template.js';
import { Site } from '../../helpers/site.js';
import { tempDir } from '../../helpers/temp.js';

failOnLeakedProcesses();

let site: Site;
let old: Backup;
let rows: number;

/** As after pg_upgrade: a new system identifier in the place of the old one. */
async function becomeAnotherCluster(binDir: string): Promise<void> {
  const { dataDir } = site.places;
  await pgCtl(site.binDir, dataDir, 'stop');
  await rename(dataDir, `${dataDir}.before`);
  const options = ['--auth=trust', '--username=postgres', '--data-checksums', '--no-sync'];
  await runAsPostgres(join(binDir, 'initdb'), ['-D', dataDir, ...options]);
  // As pg_upgrade does: its WAL begins after that of the old cluster.
  const before = (await readdir(join(`${dataDir}.before`, 'pg_wal'))).filter(isSegmentName).sort().at(-1) ?? '';
  await runAsPostgres(join(binDir, 'pg_resetwal'), ['-D', dataDir, '-l', nextSegment(before)]);
  const settings = await readFile(join(`${dataDir}.before`, 'postgresql.conf'), 'utf8');
  const own = await readFile(join(dataDir, 'postgresql.conf'), 'utf8');
  await writeFile(
    join(dataDir, 'postgresql.conf'),
    `${own}\n${settings.slice(settings.lastIndexOf(`\nport = ${site.places.port}`))}`,
  );
  for (const name of ['pg_hba.conf', 'postgresql.auto.conf'])
    await copyFile(join(`${dataDir}.before`, name), join(dataDir, name));
  await site.startServer(binDir);
  await site.query('CREATE DATABASE mairie', 'postgres');
  await site.query(
    'CREATE SCHEMA metier; CREATE TABLE metier.communes (n int); INSERT INTO metier.communes VALUES (1)',
  );
}

/** Programs of PostgreSQL 15 and 18 beside each other, as a host has them that was upgraded. */
async function bothVersions(): Promise<string> {
  const [tools, own] = [await tempDir('tools'), toolsDirectory()];
  for (const name of await readdir(own))
    if (name !== 'postgresql-18') await symlink(join(own, name), join(tools, name));
  await mkdir(join(tools, 'postgresql-18'));
  await symlink(await programs18(), join(tools, 'postgresql-18', 'bin'));
  process.env['REPRISE_TOOLS_CACHE'] = tools;
  return join(tools, 'postgresql-18', 'bin');
}

/** Each engine, and how the cluster becomes another one. */
const upgrades: Record<string, { begin: () => Promise<void>; upgrade: () => Promise<void>; after: string }> = {
  'pgBackRest, within PostgreSQL 15': {
    begin: async () => {
      site = await Site.create();
    },
    upgrade: async () => {
      await becomeAnotherCluster(site.binDir);
      const conf = site.places.pgbackrestConf;
      await runAsPostgres('pgbackrest', [`--config=${conf}`, '--stanza=main', 'stanza-upgrade']);
    },
    after: '15',
  },
  // pgBackRest of Debian 12 knows no PostgreSQL newer than 15.
  'base backups, from PostgreSQL 15 to 18': {
    begin: async () => {
      site = await Site.create({
        physical: { engine: 'basebackup', optionsYaml: '{ wal: archive_command }', archiveCommand: '/bin/false' },
      });
      const storage = {
        capabilities: { localPath: true },
        localPath: (key: string) => join(site.places.backupsDir, key),
      };
      const policy = { name: 'physical', cluster: 'mairie', options: { wal: 'archive_command' } };
      const context = { cluster: { name: 'mairie' }, policy, storage } as never;
      const command = basebackupEngine.physical?.archiveCommand(context) ?? '';
      await site.query(`ALTER SYSTEM SET archive_command = '${command.replaceAll("'", "''")}'`);
      await site.query('SELECT pg_reload_conf()');
    },
    upgrade: async () => becomeAnotherCluster(await bothVersions()),
    after: '18',
  },
};

describe.each(Object.keys(upgrades))(
  'W12: after an upgrade, with a backup of the cluster as it was before (%s)',
  (how) => {
    const tools = process.env['REPRISE_TOOLS_CACHE'];
    beforeAll(async () => {
      const { begin, upgrade, after } = upgrades[how] ?? { begin: null, upgrade: null };
      await begin?.();
      const worker = await site.startWorker();
      rows = await site.commit(5);
      await site.backUp('physical', 'full');
      old = (await site.backups()).at(-1) as Backup;
      await upgrade?.();
      await worker.stop();
      await site.startWorker();
      expect((await site.query('SHOW server_version', 'postgres')).rows).toEqual([
        { server_version: expect.stringMatching(`^${after}`) },
      ]);
    });
    afterAll(() => {
      if (tools === undefined) delete process.env['REPRISE_TOOLS_CACHE'];
      else process.env['REPRISE_TOOLS_CACHE'] = tools;
    });

    const walFinding = async (): Promise<Finding | undefined> => {
      const { stdout } = await site.cli('check', 'mairie', '--json');
      return (JSON.parse(stdout) as { findings: Finding[] }).findings.find(
        ({ check }) => check === 'wal/mairie/physical',
      );
    };

    it('before the present cluster has a backup, check says so; the old one is refused in place, and verified and planned beside', async () => {
      expect(await walFinding()).toMatchObject({
        level: 'problem',
        message: expect.stringContaining('no complete backup of the cluster that is in data_dir now: 1 is of another'),
      });
      const plan = (...more: string[]) => site.cli('recover', 'mairie', '--policy', 'physical', '--dry-run', ...more);
      const inPlace = await plan('--json');
      expect(inPlace.code).toBe(9);
      expect(inPlace.stderr).toContain(`--to backup:${old.id} --into NAME`);
      expect(await plan('--to', `backup:${old.id}`, '--into', 'beside')).toMatchObject({ code: 0 });
      expect(await site.cli('backup', 'verify', old.id)).toMatchObject({ code: 0 });
    });

    it('the backup is named as such in lists, and the check speaks of the present cluster', async () => {
      await site.backUp('physical', 'full');
      const backups = await site.backups();
      expect(backups.map(({ otherCluster }) => otherCluster)).toEqual([
        { systemIdentifier: old.server?.systemIdentifier, major: 15 },
        undefined,
      ]);
      expect((await site.cli('backup', 'show', old.id)).stdout).toContain(
        `another cluster than the present one (PostgreSQL 15, system identifier ${old.server?.systemIdentifier})`,
      );
      expect(await walFinding()).toMatchObject({
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
      const { rows: found } = await runQuery(
        beside,
        'mairie',
        "SELECT count(*)::int AS n, current_setting('server_version_num')::int / 10000 AS major FROM metier.demandes_rdv",
      );
      expect(found).toEqual([{ n: rows, major: 15 }]);
      await pgCtl(site.binDir, join(site.root, 'beside'), 'stop');
    });
  },
);
