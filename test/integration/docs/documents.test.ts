import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { runProgram } from '../../../src/process/exec/run-program.js';
import { onCleanup } from '../../helpers/cleanup.js';
import { reprise } from '../../helpers/cli.js';
import { type Reader, asHere, blocksOf, typeIn } from '../../helpers/doc-shell.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { runQuery, startScratchCluster } from '../../helpers/postgres.js';
import { Site } from '../../helpers/site.js';
import { tempDir } from '../../helpers/temp.js';

failOnLeakedProcesses();

let reader: Reader;

beforeEach(async () => {
  const server = await startScratchCluster();
  await runQuery(server, 'postgres', 'CREATE DATABASE mairie');
  const cwd = await tempDir('reader');
  const stateDir = join(cwd, 'state');
  const here = [
    ['/var/lib/postgresql/15/main', server.dataDir],
    ['/var/run/postgresql', server.socketDir],
    ['/var/lib/reprise', stateDir],
    ['/var/backups/postgres', join(cwd, 'repository')],
    ['{ kind: pg_ctlcluster, version: 15, name: main }', '{ kind: pg_ctl }'],
    ['port: 5432', `port: ${server.port}`],
    ['PGPORT=5432', `PGPORT=${server.port}`],
    // Nobody sits here to be asked.
    [' --by dba ', ' --by dba --yes '],
  ] as const;
  reader = { cwd, stateDir, here };
  onCleanup(() => reprise(['down'], { cwd }));
});

async function writeConfig(document: string): Promise<void> {
  const [yaml = ''] = await blocksOf(document, 'yaml');
  await writeFile(join(reader.cwd, 'reprise.yml'), asHere(yaml, reader));
}

describe('documents do what they say', () => {
  it('D6, D7: every command of the tutorial, in its order', async () => {
    await writeConfig('docs/tutorial.md');
    const printed = await typeIn(await blocksOf('docs/tutorial.md', 'sh'), reader);
    expect(printed).toMatch(/^ +1000$/m);
    expect(printed).toMatch(/restored/);
  });

  it("D6: every command of the README: the two that set up, and those for a database of one's own", async () => {
    const [twoCommands = '', start = '', night = ''] = await blocksOf('README.md', 'sh');
    // `npm test` is what runs this; the demo has a test of its own.
    expect(
      twoCommands
        .split('\n')
        .map((line) => line.split('#')[0]?.trim())
        .filter(Boolean),
    ).toEqual(['npm run demo', 'npm test']);
    await writeConfig('README.md');
    const started = start.replace('reprise doctor ', 'reprise doctor || true ');
    await typeIn([started, 'reprise recover mairie --policy nightly-dump --detach --by ops', night], reader);
  });

  it('D6, F8: the runbook for a night without Temporal: another server, then by hand with bare tools', async () => {
    const runbook = 'docs/runbooks/temporal-is-down.md';
    const site = await Site.create({ proof: 'none' });
    await site.startWorker();
    await site.backUp('dump');
    await site.backUp('physical');
    const { places } = site;
    const appointments = (await site.query('SELECT count(*)::int AS n FROM metier.demandes_rdv')).rows[0] as {
      n: number;
    };
    await site.workers[0]?.stop();

    const here = [
      ['/var/backups/postgres/mairie/nightly-dump', join(places.backupsDir, 'mairie', 'dump')],
      ['/var/lib/postgresql/15/main', places.dataDir],
      ['/usr/lib/postgresql/15/bin', site.binDir],
      ['/etc/pgbackrest/pgbackrest.conf', places.pgbackrestConf],
      ['STANZA=mairie', 'STANZA=main'],
      ['/var/run/postgresql', places.socketDir],
      ['PGPORT=5432', `PGPORT=${places.port}`],
      ['reprise recover mairie ', 'reprise recover mairie --policy dump '],
      [' --by dba ', ' --by dba --yes '],
    ] as const;
    const onSite = { cwd: site.root, stateDir: places.stateDir, here };
    onCleanup(() => reprise(['down', '--config', join(site.root, 'night.yml')]));
    const anew = await typeIn(await blocksOf(runbook, 'sh', 'Another server'), onSite);
    expect(anew).toMatch(/mairie:logical:/);
    expect(anew).toMatch(/mairie:pgbackrest:/);
    expect((await reprise(['down', '--config', join(site.root, 'night.yml')])).code).toBe(0);

    // The tools are used as the data directory's owner: what root's worker wrote is given to that user first.
    await runProgram(['chown', '-R', 'postgres:', site.root]);
    const byHand = await typeIn(await blocksOf(runbook, 'sh', 'By hand'), {
      ...onSite,
      asPostgres: process.getuid?.() === 0,
    });
    expect(byHand).toContain('the dump is whole');
    expect(byHand).toMatch(new RegExp(`f +\\| +${appointments.n}\\b`));
    expect((await site.query('SELECT count(*)::int AS n FROM metier.demandes_rdv')).rows).toEqual([appointments]);
  });
});
