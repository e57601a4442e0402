import { chmod, mkdir, readFile, readdir, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Cli } from '../../../src/cli/cli-context.js';
import type { BesideCopy } from '../../../src/domain/operation/inspections.js';
import type { Told } from '../../../src/cli/terminal/completion/names.js';
import { rememberNames } from '../../../src/cli/terminal/completion/names.js';
import { repriseHere } from '../../helpers/cli.js';
import { tempDir } from '../../helpers/temp.js';

let folder: string;
let started: (readonly string[])[];

const env = (): Record<string, string> => ({
  XDG_CACHE_HOME: join(folder, 'cache'),
  REPRISE_CONFIG: join(folder, 'reprise.yml'),
  TEMPORAL_ADDRESS: '127.0.0.1:1',
});

beforeEach(async () => {
  // What was told goes stale after seconds, which a busy machine takes for a test.
  const now = Date.now();
  jest.spyOn(Date, 'now').mockReturnValue(now);
  folder = await tempDir('completion');
  started = [];
  await mkdir(join(folder, 'cache'), { mode: 0o700 });
  await writeFile(
    join(folder, 'reprise.yml'),
    `version: 1
repositories: { local: { type: directory, path: ./repository }, other: { type: directory, path: ./other } }
clusters:
  mairie:
    connection: { user: reprise }
    databases: [mairie]
    catalogue: local
    backups: { nightly: { engine: logical, repository: local, schedule: { cron: "30 1 * * *" } } }
  ecole:
    connection: { user: reprise, port: 5433 }
    databases: [ecole]
    catalogue: local
    backups: { weekly: { engine: logical, repository: other } }
contacts: { dba: { name: the DBA } }
`,
  );
});

afterEach(() => {
  jest.restoreAllMocks();
});

/** What a shell would be offered for a line that ends here. */
async function offered(...words: readonly string[]): Promise<string[]> {
  const { code, stdout, stderr } = await repriseHere(['complete', '--', ...words], env(), {
    startDetached: (argv) => Promise.resolve(void started.push(argv)),
  });
  expect([code, stderr]).toEqual([0, '']);
  return stdout
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith(':'))
    .map((line) => line.split('\t')[0] ?? '');
}

const copy = (name: string, where: string, state: BesideCopy['state']): BesideCopy =>
  ({ name, where, state, id: name, cluster: 'mairie' }) as BesideCopy;

/** As a command does that was just told this. */
async function told(lists: Told): Promise<void> {
  const cli = new Cli({} as never, { env: env() } as never);
  await rememberNames(cli, lists);
}

const operations = [
  ['recover/mairie/1', 'waiting-approval'],
  ['recover/mairie/2', 'paused'],
  ['recover/mairie/3', 'running'],
  ['media/photos/1', 'waiting-approval'],
  ['incident/mairie/1', 'suspected'],
  ['watch/mairie', 'running'],
  ['watch/ecole', 'paused'],
  ['notify/x', 'running'],
].map(([workflowId = '', state = '']) => ({ workflowId, state, cluster: 'mairie' }));

describe('O16: completion offers what the argument can take, from what was told not long ago', () => {
  it('of operations, those that the decision is for', async () => {
    await told({ operations });
    expect(await offered('approve', '')).toEqual(['recover/mairie/1', 'media/photos/1']);
    expect(await offered('reject', '')).toEqual(['recover/mairie/1', 'recover/mairie/2', 'media/photos/1']);
    expect(await offered('promote', '')).toEqual(['recover/mairie/2']);
    expect(await offered('retarget', '')).toEqual(['recover/mairie/2']);
    expect(await offered('continue', '')).toEqual(['recover/mairie/2']);
    expect(await offered('pause', '')).toEqual(['recover/mairie/1', 'recover/mairie/3']);
    expect(await offered('incident', 'dismiss', '')).toEqual(['incident/mairie/1']);
    expect(await offered('status', '')).toEqual(operations.map(({ workflowId }) => workflowId).slice(0, -1));
    expect(started).toEqual([]);
  });

  it('of backups and schedules, those that the command is for', async () => {
    await told({
      backups: [
        { id: 'mairie:logical:good', cluster: 'mairie', status: 'complete', heldUntil: null },
        { id: 'mairie:logical:held', cluster: 'mairie', status: 'complete', heldUntil: 'infinity' },
        { id: 'mairie:logical:bad', cluster: 'mairie', status: 'quarantined', heldUntil: null },
      ],
      schedules: [
        { id: 'reprise/mairie/nightly', cluster: 'mairie', paused: false },
        { id: 'reprise/ecole/weekly', cluster: 'ecole', paused: true },
      ],
      kept: [{ id: 'mairie-1', cluster: 'mairie' }],
      beside: [
        copy('beside', '/data/beside', 'running'),
        copy('stopped', '/data/stopped', 'stopped'),
        copy('dump', 'mairie', 'running'),
        copy('old', '/data/old', 'gone'),
      ],
    });
    expect(await offered('backup', 'show', '')).toHaveLength(3);
    expect(await offered('backup', 'verify', '')).toEqual(['mairie:logical:good', 'mairie:logical:held']);
    expect(await offered('backup', 'hold', '')).toEqual(['mairie:logical:good']);
    expect(await offered('backup', 'release', '')).toEqual(['mairie:logical:held']);
    expect(await offered('schedule', 'pause', '')).toEqual(['reprise/mairie/nightly']);
    expect(await offered('schedule', 'resume', '')).toEqual(['reprise/ecole/weekly']);
    expect(await offered('kept', 'drop', '')).toEqual(['mairie-1']);
    expect(await offered('beside', 'stop', '')).toEqual(['beside']);
    expect(await offered('beside', 'drop', '')).toEqual(['beside', 'stopped', 'dump']);
  });

  it('P5: of drills, all to show, those that wait for it to sign off, and those that have evidence', async () => {
    await told({
      drills: [
        { drillId: 'old', cluster: 'mairie', evidence: null },
        { drillId: 'sealed', cluster: 'mairie', evidence: { path: 'mairie/evidence/sealed' } },
      ],
      running: [
        { drillId: 'restoring', workflowId: 'drill/mairie/restoring', state: 'running' },
        { drillId: 'open', workflowId: 'drill/mairie/scheduled-2026-10-04T02:00:00Z', state: 'waiting-sign-off' },
      ],
      operations: [
        { workflowId: 'drill/mairie/restoring', state: 'running', cluster: 'mairie' },
        { workflowId: 'drill/mairie/scheduled-2026-10-04T02:00:00Z', state: 'waiting-sign-off', cluster: 'mairie' },
      ],
    });
    expect(await offered('drill', 'show', '')).toEqual(['restoring', 'open', 'sealed', 'old']);
    expect(await offered('drill', 'sign-off', '')).toEqual(['open']);
    expect(await offered('drill', 'evidence', '')).toEqual(['sealed']);
    for (const command of ['sign-off', 'reject'])
      expect(await offered(command, '')).toEqual(['drill/mairie/scheduled-2026-10-04T02:00:00Z']);
    expect(await offered('drill', 'run', 'mairie', '--engine', '')).toEqual(['nightly']);
    expect(started).toEqual([]);
  });

  it('P4: of schedules, those of drills are triggered like others, and make no backups to be filled in', async () => {
    const file = join(folder, 'reprise.yml');
    const text = await readFile(file, 'utf8');
    const drill = 'drill: { allow_same_host: true, data_dir: ./staging, port: 5439 }';
    await writeFile(file, text.replace('mairie:\n', `mairie:\n    ${drill}\n`));
    const drills = ['reprise/mairie/drill', 'reprise/mairie/drill-overdue'];
    expect(await offered('schedule', 'trigger', '')).toEqual(['reprise/mairie/nightly', ...drills]);
    expect(await offered('schedule', 'backfill', '')).toEqual(['reprise/mairie/nightly']);
  });

  it('of the configuration, what belongs to the cluster that was typed; a changed file is read again', async () => {
    expect(await offered('recover', '')).toEqual(['mairie', 'ecole']);
    expect(await offered('backup', 'run', 'mairie', '--policy', '')).toEqual(['nightly']);
    expect(await offered('backup', 'run', 'ecole', '--policy', '')).toEqual(['weekly']);
    expect(await offered('schedule', 'trigger', '')).toEqual(['reprise/mairie/nightly']);
    expect(await offered('storage', 'usage', '')).toEqual(['local', 'other']);
    expect(await offered('notify', 'test', '')).toEqual(['dba']);
    const text = await readFile(join(folder, 'reprise.yml'), 'utf8');
    await writeFile(join(folder, 'reprise.yml'), text.replaceAll('ecole', 'mediatheque'));
    expect(await offered('recover', '')).toEqual(['mairie', 'mediatheque']);
    expect(started).toEqual([]);
  });

  it('asks nobody itself: what it does not know is asked for by one process in the background', async () => {
    expect(await offered('approve', '')).toEqual([]);
    expect(await offered('approve', '')).toEqual([]);
    expect(started).toEqual([['complete', '--refresh', 'operation']]);
    await told({ operations });
    expect(await offered('approve', '')).toEqual(['recover/mairie/1', 'media/photos/1']);
  });

  it('a large configuration is read in the background, and known at the next key', async () => {
    const clusters = Array.from(
      { length: 1000 },
      (_none, index) => `  c${index}: { connection: { user: reprise, port: ${index + 1} }, databases: [mairie] }\n`,
    );
    await writeFile(join(folder, 'reprise.yml'), `version: 1\nclusters:\n${clusters.join('')}`);
    expect(await offered('recover', '')).toEqual([]);
    expect(started).toEqual([['complete', '--refresh', 'cluster']]);
    expect((await repriseHere(started[0] ?? [], env())).code).toBe(0);
    expect(await offered('recover', '')).toHaveLength(1000);
    expect(started).toHaveLength(1);
  });

  it('what is older than ten minutes, or damaged, is not offered', async () => {
    await told({ operations });
    const directory = join(folder, 'cache/reprise/completion');
    const [name = ''] = await readdir(directory);
    const text = await readFile(join(directory, name), 'utf8');
    await writeFile(join(directory, name), text.replace(/"at":\d+/, `"at":${Date.now() - 11 * 60_000}`));
    expect(await offered('approve', '')).toEqual([]);
    await writeFile(join(directory, name), '{"server":');
    expect(await offered('approve', '')).toEqual([]);
    // A process that has not ended in time is not waited for.
    await utimes(join(directory, `${name}.asking`), 0, 0);
    await offered('approve', '');
    expect(started).toHaveLength(2);
  });

  it('nothing is believed, or kept, where somebody else may write', async () => {
    await told({ operations });
    await chmod(join(folder, 'cache'), 0o777);
    expect(await offered('approve', '')).toEqual([]);
    await chmod(join(folder, 'cache'), 0o700);
    expect(await offered('approve', '')).toHaveLength(2);
    await mkdir(join(folder, 'others'));
    await symlink(join(folder, 'cache/reprise'), join(folder, 'others/reprise'));
    const { stdout } = await repriseHere(['complete', '--', 'approve', ''], {
      ...env(),
      XDG_CACHE_HOME: join(folder, 'others'),
    });
    expect(stdout.trim()).toBe(':4');
  });
});
