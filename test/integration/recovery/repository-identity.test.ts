import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import type { Finding } from '../../../src/domain/findings.js';
import { giveToPostgres } from '../../helpers/postgres-user.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { Site } from '../../helpers/site.js';

failOnLeakedProcesses();

let site: Site;
let repository: string;

/** The disk of a directory goes: what is left is its mount point, empty. */
async function unmount(path: string): Promise<void> {
  await rename(path, `${path}.disk`);
  await mkdir(path, { mode: 0o700 });
  await giveToPostgres(path);
}
async function mount(path: string): Promise<void> {
  await rm(path, { recursive: true });
  await rename(`${path}.disk`, path);
}
const refused = async (...argv: string[]) => {
  const { code, stderr } = await site.cli(...argv, '--json');
  const { error } = JSON.parse(stderr.trim().split('\n').at(-1) ?? '{}') as { error?: Record<string, string> };
  return { exit: code, code: error?.['code'], message: error?.['message'], hint: error?.['hint'] };
};
const findings = async (...argv: string[]): Promise<readonly Finding[]> => {
  const { stdout } = await site.cli(...argv, '--json');
  return (JSON.parse(stdout) as { findings: Finding[] }).findings;
};
const segments = async (): Promise<{ archived: number; failed: number }> => {
  const { rows } = await site.query(
    'SELECT archived_count::int AS archived, failed_count::int AS failed FROM pg_stat_archiver',
    'postgres',
  );
  return rows[0] as { archived: number; failed: number };
};

beforeAll(async () => {
  site = await Site.create({ proof: 'none' });
  repository = join(site.root, 'pgb/repo');
  await site.startWorker();
  await site.backUp('dump');
  await site.backUp('physical', 'full');
});

describe('W1, F47: the disk of a repository is not mounted', () => {
  it('nothing is written to its mount point: backup, rotation, listing, adoption are refused; doctor and check tell; mounted again, all is as before', async () => {
    const { backupsDir } = site.places;
    const before = await site.backups();
    await unmount(backupsDir);
    const refusal = {
      exit: 9,
      code: 'repository-mismatch',
      message: `${backupsDir} is not the repository local that is known: the file reprise-repository.json is not there`,
      hint: expect.stringContaining('reprise storage accept local'),
    };
    expect(await refused('backup', 'run', 'mairie', '--policy', 'dump')).toMatchObject(refusal);
    expect(await refused('rotate', 'mairie', '--policy', 'dump', '--dry-run')).toMatchObject(refusal);
    expect(await refused('backup', 'list', 'mairie')).toMatchObject(refusal);
    expect(await refused('backup', 'adopt', 'mairie', '--dry-run')).toMatchObject(refusal);
    for (const command of [['doctor'], ['check', 'mairie']])
      expect(await findings(...command)).toContainEqual({
        check: 'repository/local/identity',
        level: 'problem',
        message: refusal.message,
        fix: refusal.hint,
      });
    expect(await readdir(backupsDir)).toEqual([]);
    await mount(backupsDir);
    expect(await site.backups()).toEqual(before);
    await site.backUp('dump');
    expect((await findings('check', 'mairie')).filter(({ check }) => check.startsWith('repository/'))).toEqual([]);
  });

  it("the same of pgBackRest's own repository, where neither a stanza nor WAL goes to the mount point", async () => {
    await unmount(repository);
    const { failed } = await segments();
    await site.closeSegment();
    await site.waitFor(async () => (await segments()).failed > failed, 'archiving fails');
    const refusal = {
      exit: 9,
      code: 'repository-mismatch',
      message: `${repository} is not the repository of policy physical of mairie that is known: the file reprise-repository.json is not there`,
    };
    expect(await refused('backup', 'run', 'mairie', '--policy', 'physical')).toMatchObject(refusal);
    expect(await findings('check', 'mairie')).toContainEqual(
      expect.objectContaining({
        check: 'cluster/mairie/repository/physical',
        level: 'problem',
        message: refusal.message,
      }),
    );
    // In an emergency the backups of the other policies can be used.
    const status = (await site.backups()).map((one) => `${one.policy} ${one.status}`);
    expect(status).toEqual(expect.arrayContaining(['physical missing', 'dump complete']));
    expect((await site.cli('recover', 'mairie', '--policy', 'dump', '--database', 'mairie', '--dry-run')).code).toBe(0);
    // A host that has lost its state: the records know the repository of the policy.
    const known = join(site.places.stateDir, 'repositories');
    await rename(known, `${known}.lost`);
    const [worker] = site.workers;
    await worker?.kill();
    await site.startWorker();
    expect(await refused('backup', 'run', 'mairie', '--policy', 'physical')).toMatchObject(refusal);
    expect(await readdir(repository)).toEqual([]);
    await mount(repository);
    await site.backUp('physical', 'incr');
    await site.waitFor(async () => (await segments()).archived > 0, 'WAL is archived again');
    expect(await findings('check', 'mairie')).toContainEqual(
      expect.objectContaining({ check: 'wal/mairie/physical', level: 'ok' }),
    );
  });

  it('a repository that is begun anew is accepted by a person, and the journal says who and why', async () => {
    const { backupsDir } = site.places;
    await rename(backupsDir, `${backupsDir}.old`);
    expect(await refused('backup', 'run', 'mairie', '--policy', 'dump')).toMatchObject({ code: 'repository-mismatch' });
    await expect(stat(backupsDir)).rejects.toThrow('ENOENT');
    const accept = ['storage', 'accept', 'local', '--reason', 'the old disk is lost', '--by', 'dba'];
    expect((await site.cli(...accept, '--dry-run', '--json')).code).toBe(0);
    expect(await refused(...accept)).toMatchObject({ exit: 9, code: 'confirmation-needed' });
    const { stdout, code } = await site.cli(...accept, '--yes', '--json');
    expect({ code, ...(JSON.parse(stdout) as object) }).toMatchObject({
      code: 0,
      repositories: [
        { name: 'local', where: backupsDir, id: expect.stringMatching(/^[0-9a-f-]{36}$/) },
        { name: 'mairie/physical', where: repository },
      ],
    });
    await site.backUp('dump');
    expect((await site.backups()).map(({ policy, status }) => `${policy} ${status}`)).toContain('dump complete');
    expect((await findings('check', 'mairie')).filter(({ check }) => check.startsWith('repository/'))).toEqual([]);
  });
});
