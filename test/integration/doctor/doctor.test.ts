import { chmod, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { parseConfig } from '../../../src/config/load.js';
import { inspectHost } from '../../../src/doctor/inspect-host.js';
import type { Finding } from '../../../src/domain/findings.js';
import { openCatalogue } from '../../../src/records/catalogue.js';
import { resolveSecret } from '../../../src/process/exec/secrets.js';
import { openStorage } from '../../../src/storage/open-storage.js';
import { withClient } from '../../../src/postgres/connection/with-client.js';
import { tempDir } from '../../helpers/temp.js';
import { backupFacts } from '../../unit/records/samples.js';

const port = process.env['REPRISE_TEST_PG_PORT'];
const socket = process.env['REPRISE_TEST_PG_SOCKET'];
let folder: string;

beforeEach(async () => {
  folder = await tempDir('doctor');
  await mkdir(join(folder, 'repo'), { mode: 0o700 });
  await mkdir(join(folder, 'state'), { mode: 0o700 });
  await mkdir(join(folder, 'data'), { mode: 0o700 });
});

interface Shape {
  readonly connection?: string;
  readonly engine?: string;
  readonly more?: string;
}

async function findings({
  connection = `{ host: "${socket}", port: ${port}, user: postgres }`,
  engine = 'logical',
  more = '',
}: Shape = {}): Promise<readonly Finding[]> {
  const options = engine === 'pgbackrest' ? `, options: { stanza: mairie, config: ${folder}/pgbackrest.conf }` : '';
  const text = `version: 1
hosts: { db1: { state_dir: ./state }, db2: { state_dir: ./state } }
repositories: { local: { type: directory, path: ./repo, host: db1 } }
clusters:
  mairie:
    host: db1
    connection: ${connection}
    data_dir: ${folder}/data
    service: { kind: pg_ctl }
    databases: [mairie]
    catalogue: local
    backups:
      nightly: { engine: ${engine}, repository: local, retention: { days: 14 }${options} }
${more}`;
  return inspectHost(parseConfig(text, join(folder, 'reprise.yml')).config, 'db1');
}

const of = (found: readonly Finding[], check: string): Finding | undefined =>
  found.find((finding) => finding.check === check);

describe('doctor on a host', () => {
  it('finds server, tools and repository in order, and says what each wrong thing needs', async () => {
    const found = await findings({
      more: '    approvals: { recover: { approvers: 1, from: [dba] } }\ncontacts: { dba: { mail: [dba@example.org] } }\n',
    });
    expect(of(found, 'cluster/mairie/connection')).toMatchObject({
      level: 'ok',
      message: expect.stringContaining('PostgreSQL 15'),
    });
    for (const tool of ['pg_dump', 'pg_restore', 'pg_dumpall', 'psql'])
      expect(of(found, `cluster/mairie/tools/${tool}`)).toMatchObject({
        level: expect.not.stringMatching('problem'),
        message: expect.stringContaining(`${tool} (PostgreSQL) 15`),
      });
    expect(of(found, 'repository/local')).toMatchObject({ level: 'ok' });
    expect(of(found, 'cluster/mairie/approvals')).toBeUndefined();
    expect(found.filter(({ level }) => level === 'problem')).toEqual([]);
    expect(found.every(({ level, fix }) => (level === 'ok') === (fix === null))).toBe(true);
  });

  it('O8, O18: a database that is named and not there, and those that no policy backs up, are named', async () => {
    const name = `uncovered_${process.pid}`;
    const connection = { host: socket ?? '', port: Number(port), user: 'postgres', maintenanceDatabase: 'postgres' };
    const sql = (text: string) => withClient(connection, 'postgres', (client) => client.query(text));
    await sql(`CREATE DATABASE ${name}`);
    try {
      const found = await findings();
      expect(of(found, 'cluster/mairie/databases')).toMatchObject({
        level: 'warning',
        message: expect.stringContaining('has no database "mairie"'),
      });
      expect(of(found, 'cluster/mairie/uncovered')?.message).toContain(`"${name}"`);
      // A copy of the whole data directory has them all.
      expect(of(await findings({ engine: 'basebackup' }), 'cluster/mairie/uncovered')).toBeUndefined();
    } finally {
      await sql(`DROP DATABASE ${name}`);
    }
  });

  it('the only copy on the device of the data directory is no backup', async () => {
    expect(of(await findings(), 'cluster/mairie/copies')).toMatchObject({
      level: 'warning',
      message: expect.stringContaining('if that disk fails, both are lost'),
    });
  });

  it('a recovery without an approval policy would be refused', async () => {
    expect(of(await findings(), 'cluster/mairie/approvals')).toMatchObject({
      level: 'warning',
      fix: expect.stringContaining('approvals:'),
    });
  });

  it('S2: a cluster whose applications nothing stops during a recovery', async () => {
    expect(of(await findings(), 'cluster/mairie/hooks')).toMatchObject({
      level: 'warning',
      fix: expect.stringContaining('stop-applications'),
    });
    const hooks = '    hooks: { stop-applications: { argv: [/bin/true], host: db1, timeout: 60s } }\n';
    expect(of(await findings({ more: hooks }), 'cluster/mairie/hooks')).toBeUndefined();
  });

  it('a server that is down does not hide the other findings', async () => {
    const found = await findings({ connection: '{ host: 127.0.0.1, port: 1, user: postgres }' });
    expect(of(found, 'cluster/mairie/connection')).toMatchObject({ level: 'problem' });
    expect(of(found, 'repository/local')).toMatchObject({ level: 'ok' });
    expect(of(found, 'cluster/mairie/tools/pg_dump')).toMatchObject({ level: expect.not.stringMatching('problem') });
  });

  it('F42: a state directory, repository or password file open to others is said', async () => {
    const passfile = join(folder, 'pgpass');
    await writeFile(passfile, '*:*:*:postgres:x\n', { mode: 0o644 });
    await chmod(join(folder, 'state'), 0o755);
    await chmod(join(folder, 'repo'), 0o755);
    const found = await findings({
      connection: `{ host: "${socket}", port: ${port}, user: postgres, passfile: ${passfile} }`,
    });
    expect(of(found, 'host/db1/state_dir')).toMatchObject({
      level: 'problem',
      fix: expect.stringContaining('chmod 700'),
    });
    expect(of(found, 'repository/local')).toMatchObject({
      level: 'warning',
      fix: expect.stringContaining('chmod 700'),
    });
    expect(of(found, 'cluster/mairie/passfile')).toMatchObject({
      level: 'problem',
      fix: expect.stringContaining('chmod 600'),
    });
  });

  it('O15: without pgbackrest.conf, or without its stanza, the very lines for it; and the archive_command', async () => {
    const conf = join(folder, 'pgbackrest.conf');
    const wrong = async () => {
      const found = await findings({ engine: 'pgbackrest' });
      return { engine: of(found, 'cluster/mairie/engine/nightly'), archiving: of(found, 'cluster/mairie/archiving') };
    };
    const stanza = `[mairie]\npg1-path=${folder}/data\npg1-port=${port}\npg1-socket-path=${socket}`;
    expect((await wrong()).engine).toMatchObject({
      level: 'problem',
      fix: expect.stringContaining(`write ${conf}:\n[global]\nrepo1-path=/var/lib/pgbackrest`),
    });
    await writeFile(conf, '[global]\nrepo1-path=/var/lib/pgbackrest\n[other]\npg1-path=/x\n');
    const { engine, archiving } = await wrong();
    expect(engine).toMatchObject({ message: `${conf} has no stanza mairie`, fix: expect.stringContaining(stanza) });
    expect(archiving?.fix).toContain(`archive_command = 'pgbackrest --config=${conf} --stanza=mairie`);
    await writeFile(conf, `[global]\nrepo1-path=/var/lib/pgbackrest\n${stanza}\n`);
    expect((await wrong()).engine?.level).not.toBe('problem');
  });

  it('F7: a policy that archives WAL on a server that does not', async () => {
    const found = await findings({ engine: 'pgbackrest' });
    expect(of(found, 'cluster/mairie/archiving')).toMatchObject({
      level: 'problem',
      fix: expect.stringContaining('archive_mode=on'),
    });
    expect(of(found, 'cluster/mairie/tools/pgbackrest')).toMatchObject({
      level: 'ok',
      message: expect.stringContaining('pgBackRest'),
    });
  });

  it('a repository that is not there is not made by looking for it; a hook whose program is not there is wrong', async () => {
    await rm(join(folder, 'repo'), { recursive: true });
    const found = await findings({
      more: '    hooks: { stop-applications: { argv: [/no/such/program] }, start-applications: { argv: [/no/other], host: db2 } }\n',
    });
    expect(of(found, 'repository/local')).toMatchObject({
      level: 'ok',
      message: expect.stringContaining('does not exist yet'),
    });
    expect(await readdir(folder)).not.toContain('repo');
    expect(of(found, 'cluster/mairie/hooks/stop-applications')).toMatchObject({
      level: 'problem',
      message: expect.stringContaining('/no/such/program'),
    });
    // Hooks run on the host of the cluster, whatever their own says.
    expect(of(found, 'cluster/mairie/hooks/start-applications')).toMatchObject({ level: 'problem' });
  });

  it('disk forecast: what the catalogue says came and went, against what is free', async () => {
    const catalogue = openCatalogue(
      openStorage(
        { name: 'local', type: 'directory', options: { path: join(folder, 'repo') } },
        { secret: resolveSecret },
      ),
      'mairie',
    );
    const made = (id: string, daysAgo: number, sizeBytes: number) => {
      const at = new Date(Date.now() - daysAgo * 86_400_000).toISOString();
      return catalogue.append({
        id: `made/${id}`,
        at,
        operationId: id,
        by: 'test',
        kind: 'backup',
        backup: { ...backupFacts(id), id, policy: 'nightly', sizeBytes },
      });
    };
    await made('a', 0.1, 1000);
    expect(of(await findings(), 'space/mairie/nightly')).toMatchObject({
      level: 'ok',
      message: expect.stringContaining('too recent'),
    });
    // Grows by petabytes a day: no disk has room for the third.
    await made('b', 2, 4e15);
    await made('c', 1, 4e15);
    expect(of(await findings(), 'space/mairie/nightly')).toMatchObject({
      level: 'problem',
      message: expect.stringContaining('the next backups take about'),
    });
    await made('d', 0, 1000);
    expect(of(await findings(), 'space/mairie/nightly')).toMatchObject({
      level: 'problem',
      message: expect.stringMatching(/full in 0 days/),
      fix: expect.stringContaining('retention'),
    });
    for (const id of ['b', 'c'])
      await catalogue.append({
        id: `removed/${id}`,
        at: new Date().toISOString(),
        operationId: 'r',
        by: 'test',
        kind: 'removed',
        backupId: id,
        reason: 'test',
      });
    expect(of(await findings(), 'space/mairie/nightly')).toMatchObject({
      level: 'ok',
      message: expect.stringContaining('not full within ten years'),
    });
  });

  it('failure domain: unencrypted, on the same device; pgbackrest.conf says where its files lie and what is wrong with it', async () => {
    expect(of(await findings(), 'cluster/mairie/encryption/nightly')).toMatchObject({
      level: 'warning',
      message: expect.stringContaining(`unencrypted in ${folder}/repo`),
    });
    const conf = (...lines: string[]) =>
      writeFile(
        join(folder, 'pgbackrest.conf'),
        ['[global]', ...lines, '[mairie]', `pg1-path=${folder}/data`, `pg1-port=${port}`, ''].join('\n'),
        { mode: 0o644 },
      );
    await conf(
      'repo1-type=s3',
      'repo1-s3-key=made-up',
      'repo1-cipher-type=aes-256-cbc',
      'repo1-retention-archive-type=time',
    );
    const found = await findings({ engine: 'pgbackrest' });
    expect(of(found, 'cluster/mairie/copies')).toMatchObject({
      level: 'ok',
      message: expect.stringContaining('another machine'),
    });
    expect(of(found, 'cluster/mairie/encryption/nightly')).toMatchObject({ level: 'ok' });
    const own = found.filter(({ check }) => check === 'cluster/mairie/engine/nightly');
    expect(own).toMatchObject([
      {
        message: expect.stringContaining('repo1-retention-archive-type=time'),
        fix: expect.stringContaining('remove the line'),
      },
      {
        message: expect.stringContaining('contains a secret and can be read by other users'),
        fix: expect.stringContaining('chmod 600'),
      },
    ]);
    expect(JSON.stringify(found)).not.toContain('made-up');
    await conf(`repo1-path=${folder}/elsewhere`);
    expect(of(await findings({ engine: 'pgbackrest' }), 'cluster/mairie/copies')).toMatchObject({
      level: 'warning',
      message: expect.stringContaining('if that disk fails, both are lost'),
    });
  });

  it('objectives that schedules and retention cannot keep', async () => {
    const found = await findings({ more: '    objectives: { rpo: 5m }\n' });
    expect(of(found, 'cluster/mairie/rpo')).toMatchObject({
      level: 'warning',
      message: expect.stringContaining('no policy archives WAL'),
    });
    expect(of(await findings(), 'cluster/mairie/rpo')).toBeUndefined();
  });

  it('F42: a configuration that others may write is a problem', async () => {
    await writeFile(join(folder, 'reprise.yml'), '', { mode: 0o644 });
    expect(of(await findings(), 'config/file')).toMatchObject({ level: 'ok' });
    await chmod(join(folder, 'reprise.yml'), 0o666);
    expect(of(await findings(), 'config/file')).toMatchObject({
      level: 'problem',
      fix: `chmod go-w ${folder}/reprise.yml`,
    });
  });

  it('U2: a path in which other users could put links is a problem before a recovery refuses it, with what to type', async () => {
    const spare = join(folder, 'spare');
    await mkdir(spare);
    const more = `    recovery: { old_data: { mode: aside-on, path: ${spare} } }\n`;
    const paths = async () => (await findings({ more })).filter(({ check }) => check.endsWith('/path'));
    expect(await paths()).toEqual([]);
    for (const [name, check] of [
      ['spare', 'cluster/mairie/old_data/path'],
      ['data', 'cluster/mairie/data_dir/path'],
      ['state', 'host/db1/state_dir/path'],
      ['repo', 'repository/local/path'],
    ] as const) {
      await chmod(join(folder, name), 0o777);
      expect(await paths()).toContainEqual({
        check,
        level: 'problem',
        message: expect.stringContaining(`every user may write in the directory ${join(folder, name)}`),
        fix: expect.stringContaining(`chmod go-w ${join(folder, name)}`),
      });
      await chmod(join(folder, name), 0o700);
    }
    // As /tmp: names of our own can be made there, old data is not put there.
    await chmod(spare, 0o1777);
    expect((await paths()).map(({ check }) => check)).toEqual(['cluster/mairie/old_data/path']);
  });

  it('leaves nothing behind in the repository', async () => {
    await findings();
    expect(await readdir(join(folder, 'repo'))).toEqual([]);
  });
});
