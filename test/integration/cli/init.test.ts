import { chmod, mkdir, readFile, readdir, stat, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { parseConfig } from '../../../src/config/load.js';
import { firstConfig } from '../../../src/config/first-config.js';
import type { FoundCluster } from '../../../src/domain/found-cluster.js';
import { reprise } from '../../helpers/cli.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { runQuery, startScratchCluster } from '../../helpers/postgres.js';
import { tempDir } from '../../helpers/temp.js';

failOnLeakedProcesses();

let cwd: string;
let server: Awaited<ReturnType<typeof startScratchCluster>>;
let env: Record<string, string>;

beforeAll(async () => {
  server = await startScratchCluster();
  await runQuery(server, 'postgres', 'CREATE DATABASE "mairie d\'ici"');
  cwd = await tempDir('init');
  const bin = join(cwd, 'bin');
  await mkdir(bin);
  const lines = [
    `15  main ${server.port} online postgres ${server.dataDir} /var/log/postgresql/postgresql-15-main.log`,
    `14  main 5999 down <unknown> ${join(cwd, 'gone')} /var/log/postgresql/postgresql-14-main.log`,
  ];
  await writeFile(join(bin, 'pg_lsclusters'), `#!/bin/sh\ncat <<'EOF'\n${lines.join('\n')}\nEOF\n`);
  await chmod(join(bin, 'pg_lsclusters'), 0o755);
  await writeFile(
    join(cwd, 'pgbackrest.conf'),
    `[global]\nrepo1-path=${join(cwd, 'pgb')}\n[town]\npg1-path=${server.dataDir}\n[global:archive-push]\ncompress-level=3\n`,
  );
  env = { PATH: `${bin}${delimiter}${process.env['PATH'] ?? ''}` };
});

const init = (...more: string[]) =>
  reprise(['init', '--pgbackrest', 'pgbackrest.conf', '--state-dir', 'state', '--repository', 'backups/pg', ...more], {
    cwd,
    env,
  });

describe('O15: reprise init', () => {
  it('shows with --dry-run what it would write, and makes nothing', async () => {
    const before = await readdir(cwd);
    const { code, stdout } = await init('--dry-run');
    expect([code, stdout]).toEqual([0, expect.stringContaining('databases: ["mairie d\'ici"]')]);
    expect(await readdir(cwd)).toEqual(before);
  });

  it('writes a file that config check accepts, of the clusters and the stanza found, and makes the directories for the owner of the data', async () => {
    const { code, stdout } = await init('--json');
    expect(code).toBe(0);
    const { file, next } = JSON.parse(stdout) as { file: string; next: string[] };
    expect([file, next[0]]).toEqual([join(cwd, 'reprise.yml'), expect.stringContaining('reprise config check')]);
    const { clusters, hosts } = parseConfig(await readFile(file, 'utf8'), file).config;
    expect(Object.keys(clusters)).toEqual(['main-15']);
    expect(clusters['main-15']).toMatchObject({
      connection: { host: server.socketDir, port: server.port },
      dataDir: server.dataDir,
      service: { kind: 'pg_ctlcluster', version: '15', name: 'main' },
      databases: ["mairie d'ici"],
      watch: { everySeconds: 10 },
      policies: {
        dump: { engine: 'logical', proof: 'restore' },
        physical: { engine: 'pgbackrest', options: { stanza: 'town', config: join(cwd, 'pgbackrest.conf') } },
      },
    });
    expect(Object.values(hosts)[0]?.stateDir).toBe(join(cwd, 'state'));
    const owner = (await stat(server.dataDir)).uid;
    for (const path of ['state', 'backups/pg']) {
      const { uid, mode } = await stat(join(cwd, path));
      expect([path, uid, mode & 0o777]).toEqual([path, owner, 0o700]);
    }
    expect((await reprise(['config', 'check'], { cwd })).code).toBe(0);
  });

  it('never overwrites', async () => {
    const before = await readFile(join(cwd, 'reprise.yml'), 'utf8');
    for (const more of [[], ['--dry-run']]) {
      const { code, stderr } = await init('--json', ...more);
      expect([code, (JSON.parse(stderr) as { error: { code: string } }).error.code]).toEqual([7, 'conflict']);
    }
    expect(await readFile(join(cwd, 'reprise.yml'), 'utf8')).toBe(before);
  });

  it('says so where there is no cluster', async () => {
    const bare = await tempDir('bare');
    await writeFile(join(bare, 'pgbackrest.conf'), '[global]\nrepo1-path=/nowhere\n');
    await writeFile(join(bare, 'pg_lsclusters'), '#!/bin/sh\n');
    await chmod(join(bare, 'pg_lsclusters'), 0o755);
    const { code } = await reprise(['init', '--pgbackrest', 'pgbackrest.conf', '--json'], {
      cwd: bare,
      env: { PATH: `${bare}${delimiter}${process.env['PATH'] ?? ''}` },
    });
    expect(code).toBe(6);
  });

  it('writes names that YAML would read as something else, and gives two clusters of one name two names', () => {
    const found: FoundCluster = {
      ...{ name: 'été 2', port: 5432, socketDir: '/run/a-b', dataDir: '/srv/x: y', owner: 'postgres' },
      ...{ debian: null, databases: ['true', 'a"b\nc', '123'], stanza: null },
    };
    const text = firstConfig(
      {
        host: 'db 1',
        stateDir: '/var/lib/reprise',
        repository: '/b#1',
        clusters: [found, { ...found, dataDir: '/srv/z', port: 5433 }],
      },
      '/etc/reprise/reprise.yml',
    );
    const { clusters } = parseConfig(text, '/etc/reprise/reprise.yml').config;
    expect(Object.keys(clusters)).toEqual(['été-2', 'été-2-2']);
    expect(clusters['été-2']?.databases).toEqual(found.databases);
  });
});
