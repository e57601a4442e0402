import { execFile } from 'node:child_process';
import { chmod, mkdir, readdir, readlink, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from '@jest/globals';
import type { KeptItem } from '../../src/domain/backup/records.js';
import { planText } from '../../src/domain/plan/plan-text.js';
import { basebackupEngine } from '../../src/engines/basebackup/basebackup-engine.js';
import { onCleanup } from '../helpers/cleanup.js';
import { giveToPostgres } from '../helpers/postgres-user.js';
import { initdb } from '../helpers/templates.js';
import { programs18 } from '../helpers/programs-18.js';
import { answer, editConfig, refusal } from '../helpers/site-cli.js';
import { pgCtl } from '../helpers/site-template.js';
import { Site, type SiteOptions } from '../helpers/site.js';
import { renamedFunctions, walgPolicy } from '../helpers/walg.js';

const run = promisify(execFile);

/** A file system of its own. */
async function disk(path: string): Promise<string> {
  await mkdir(path);
  await run('mount', ['-t', 'tmpfs', '-o', 'size=1g,mode=0755', 'reprise-test', path]);
  onCleanup(() => run('umount', ['--lazy', path]).catch(() => undefined));
  await giveToPostgres(path);
  return path;
}

/** The data directory behind a link, its WAL and a tablespace on disks of their own. */
async function spreadOut(site: Site, tablespace: boolean) {
  const { root, dataDir } = site.places;
  await pgCtl(site.binDir, dataDir, 'stop', '--mode', 'fast');
  const [data, wal] = [join(root, 'disk', 'data'), join(await disk(join(root, 'waldisk')), 'wal')];
  await mkdir(join(root, 'disk'));
  await giveToPostgres(join(root, 'disk'));
  await rename(dataDir, data);
  await symlink(data, dataDir);
  await run('cp', ['-a', join(data, 'pg_wal'), wal]);
  await run('rm', ['-r', join(data, 'pg_wal')]);
  await symlink(wal, join(data, 'pg_wal'));
  await site.startServer();
  const space = await disk(join(root, 'tsdisk'));
  if (!tablespace) return { data, wal, space: null };
  await site.query(`CREATE TABLESPACE fast LOCATION '${space}'`);
  await site.query('CREATE TABLE on_fast TABLESPACE fast AS SELECT n FROM generate_series(1, 5000) n');
  return { data, wal, space };
}

/** The user's own command: it archives as before, and copies to a second archive. */
async function wrapArchiving(site: Site): Promise<{ command: string; second: string }> {
  const second = join(site.root, 'second');
  await mkdir(second);
  await giveToPostgres(second);
  const [{ archive_command: own = '' } = {}] = (await site.query('SHOW archive_command')).rows as {
    archive_command: string;
  }[];
  // pgBackRest wants to see its name in the command.
  const script = join(site.root, 'archive-twice-and-by-pgbackrest');
  const filled = own.replaceAll('%p', '$1').replaceAll('%f', '"$2"').replaceAll('%%', '%');
  await writeFile(script, `#!/bin/sh\ncp "$1" '${second}/'"$2" || exit 1\n${filled}\n`);
  await chmod(script, 0o755);
  const command = `${script} %p %f`;
  await site.query(`ALTER SYSTEM SET archive_command = '${command}'`);
  await site.query('SELECT pg_reload_conf()');
  return { command, second };
}

interface Setting {
  readonly options: SiteOptions;
  readonly ready?: (site: Site) => Promise<void>;
}

const receivedByCommand = async (): Promise<Setting> => ({
  options: {
    physical: { engine: 'basebackup', optionsYaml: '{ wal: archive_command }', archiveCommand: '/bin/false' },
  },
  ready: async (site) => {
    const storage = {
      capabilities: { localPath: true },
      localPath: (key: string) => join(site.places.backupsDir, key),
    };
    const policy = { name: 'physical', cluster: 'mairie', options: { wal: 'archive_command' } };
    const command = basebackupEngine.physical?.archiveCommand({
      cluster: { name: 'mairie' },
      policy,
      storage,
    } as never);
    await site.query(`ALTER SYSTEM SET archive_command = '${(command ?? '').replaceAll("'", "''")}'`);
    await site.query('SELECT pg_reload_conf()');
  },
});

const engines = {
  pgbackrest: async (): Promise<Setting> => ({ options: {} }),
  basebackup: receivedByCommand,
  'basebackup, PostgreSQL 18': receivedByCommand,
  walg: async (): Promise<Setting> => {
    const { physical } = await walgPolicy();
    // Restore-tested too: of a pg_wal that is a symbolic link WAL-G keeps nothing, not even a directory.
    return {
      options: { proof: 'restore', physical },
      ready: async (site) => void (await site.query(renamedFunctions, 'postgres')),
    };
  },
};

/** A cluster whose data directory is a link, with its WAL and a tablespace on disks of their own. */
export function layoutContract(engine: keyof typeof engines): void {
  describe(`a cluster on several disks, with ${engine}`, () => inLayout(engine));
}

function inLayout(engine: keyof typeof engines): void {
  let site: Site;
  afterAll(() => void delete process.env['REPRISE_PG_BIN']);

  it('W8, F50, W2: keeps its links, its WAL disk and its tablespaces; old parts go with the old data; the archive_command comes back', async () => {
    if (engine.endsWith('18')) process.env['REPRISE_PG_BIN'] = await programs18();
    const { options, ready } = await engines[engine]();
    site = await Site.create(options);
    const { dataDir } = site.places;
    const { data, wal, space } = await spreadOut(site, engine !== 'walg');
    await ready?.(site);
    await site.startWorker();
    await site.backUp('physical');
    const { command, second } = await wrapArchiving(site);
    const rows = await site.commit(100);
    const content = await site.contentHash();
    await site.loseInstance(engine === 'pgbackrest' ? 'data' : 'killed');

    const work = await site.recover('physical');
    const plan = await site.approve(work);
    const text = planText(plan);
    for (const place of [data, wal, space ?? wal]) expect(text).toContain(place);
    expect(await site.recovered(work)).toMatchObject({ state: 'completed' });

    expect(await site.contentHash()).toEqual(content);
    expect(await site.commit(1)).toBe(rows + 1);
    expect(await readlink(dataDir)).toBe(data);
    expect(await readlink(join(data, 'pg_wal'))).toBe(wal);
    if (space !== null) {
      const { rows: found } = await site.query(
        "SELECT oid::text, pg_tablespace_location(oid) AS location FROM pg_tablespace WHERE spcname = 'fast'",
      );
      const [{ oid = '', location = '' } = {}] = found as { oid: string; location: string }[];
      expect(location).toBe(space);
      const [old] = plan.binding.replaces;
      const kept = await readlink(join(old?.keptAs ?? '', 'pg_tblspc', oid));
      expect(kept.startsWith(`${space}/.aside-`)).toBe(true);
      expect(await readdir(kept)).toEqual([expect.stringMatching(/^PG_1[58]_/)]);
    }
    const { rows: shown } = await site.query('SHOW archive_command');
    expect(shown).toEqual([{ archive_command: command }]);
    expect((await readdir(second)).some((name) => name.startsWith('00000002'))).toBe(true);

    const { kept } = await answer<{ kept: KeptItem[] }>(site, 'kept', 'list');
    const old = kept.find(({ id }) => id.endsWith('/old'));
    await answer(site, 'kept', 'drop', old?.id ?? '', '--yes');
    expect(await readdir(join(site.root, 'waldisk'))).toEqual(['wal']);
    expect((await readdir(join(site.root, 'disk'))).filter((name) => name.includes('aside'))).toEqual([]);
    if (space !== null) expect(await readdir(space)).toEqual([expect.stringMatching(/^PG_1[58]_/)]);
    expect(await site.commit(1)).toBe(rows + 2);
  });

  if (engine === 'pgbackrest')
    it('W8: overwritten in place, its links and places stay too, and nothing is left over there', async () => {
      const { dataDir } = site.places;
      const data = await readlink(dataDir);
      const wal = await readlink(join(data, 'pg_wal'));
      await site.workers.at(-1)?.stop();
      await editConfig(site, (text) =>
        text.replace('    recovery:\n', '    recovery:\n      old_data: { mode: overwrite-delta }\n'),
      );
      await site.startWorker();
      await site.commit(50);
      const content = await site.contentHash();
      await site.loseInstance('killed');
      const work = await site.recover('physical');
      const plan = await site.approve(work);
      expect(planText(plan)).toContain('is overwritten there');
      expect(await site.recovered(work)).toMatchObject({ state: 'completed' });
      expect(await site.contentHash()).toEqual(content);
      expect(await readlink(dataDir)).toBe(data);
      expect(await readlink(join(data, 'pg_wal'))).toBe(wal);
      const { rows } = await site.query(
        "SELECT pg_tablespace_location(oid) AS location, (SELECT count(*)::int FROM on_fast) AS n FROM pg_tablespace WHERE spcname = 'fast'",
      );
      const space = join(site.root, 'tsdisk');
      expect(rows).toEqual([{ location: space, n: 5000 }]);
      expect(await readdir(space)).toEqual([expect.stringMatching(/^PG_1[58]_/)]);
      expect(await readdir(join(site.root, 'waldisk'))).toEqual(['wal']);
      expect((await readdir(wal)).filter((name) => /^(?:00000001|\.)/.test(name))).toEqual([]);
    });

  if (engine !== 'walg')
    it('W13: a fresh initdb where the cluster was is put aside, in words, and is neither started nor taken for what was lost', async () => {
      const { dataDir } = site.places;
      const data = await readlink(dataDir);
      const rows = await site.commit(1);
      await pgCtl(site.binDir, dataDir, 'stop', '--mode', 'fast');
      await rename(data, `${data}.lost`);
      await initdb(site.binDir, ['--auth=trust', '--username=postgres'], data);

      const refused = await refusal(site, 'recover', 'mairie', '--dry-run', '--to', '2020-01-01T00:00:00Z');
      expect(refused).toMatchObject({ code: 'target-before-backup' });
      const work = await site.recover(engine === 'pgbackrest' ? undefined : 'physical');
      const plan = await site.approve(work);
      expect(plan.binding.method).toBe('data-directory');
      expect(planText(plan)).toMatch(/contains a new, empty cluster \(made 20\S+Z; no database.*put aside/);
      const keptAs = plan.binding.replaces[0]?.keptAs ?? '';
      expect(await site.recovered(work)).toMatchObject({ state: 'completed' });
      // What the stop had archived is there: of the lost cluster nothing else was.
      expect(await site.commit(1)).toBe(rows + 1);
      expect(await readdir(join(keptAs, 'base'))).not.toContain('16384');
      await rm(`${data}.lost`, { recursive: true });
    });
}
