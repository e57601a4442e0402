import { chmod, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { parseConfig } from '../../../src/config/load.js';
import { inspectHost } from '../../../src/doctor/inspect-host.js';
import type { Finding } from '../../../src/domain/findings.js';
import { tempDir } from '../../helpers/temp.js';

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

async function findings({ connection = `{ host: "${socket}", port: ${port}, user: postgres }`, engine = 'logical', more = '' }: Shape = {}): Promise<readonly Finding[]> {
  const options = engine === 'pgbackrest' ? `, options: { stanza: mairie, config: ${folder}/pgbackrest.conf }` : '';
  const text = `version: 1
hosts: { db1: { state_dir: ./state } }
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

const of = (found: readonly Finding[], check: string): Finding | undefined => found.find((finding) => finding.check === check);

describe('doctor on a host', () => {
  it('finds server, tools and repository in order, and says what each wrong thing needs', async () => {
    const found = await findings({ more: '    approvals: { recover: { approvers: 1, from: [dba] } }\ncontacts: { dba: { mail: [dba@example.org] } }\n' });
    expect(of(found, 'cluster/mairie/connection')).toMatchObject({ level: 'ok', message: expect.stringContaining('PostgreSQL 15') });
    for (const tool of ['pg_dump', 'pg_restore', 'pg_dumpall', 'psql']) expect(of(found, `cluster/mairie/tools/${tool}`)).toMatchObject({ level: 'ok' });
    expect(of(found, 'repository/local')).toMatchObject({ level: 'ok' });
    expect(of(found, 'cluster/mairie/approvals')).toBeUndefined();
    expect(found.filter(({ level }) => level === 'error')).toEqual([]);
    expect(found.every(({ level, fix }) => (level === 'ok') === (fix === null))).toBe(true);
  });

  it('the only copy on the device of the data directory is no backup', async () => {
    expect(of(await findings(), 'cluster/mairie/copies')).toMatchObject({ level: 'warning', message: expect.stringContaining('That is no backup') });
  });

  it('a recovery without an approval policy would be refused', async () => {
    expect(of(await findings(), 'cluster/mairie/approvals')).toMatchObject({ level: 'warning', fix: expect.stringContaining('approvals:') });
  });

  it('a server that is down does not hide the other findings', async () => {
    const found = await findings({ connection: '{ host: 127.0.0.1, port: 1, user: postgres }' });
    expect(of(found, 'cluster/mairie/connection')).toMatchObject({ level: 'error' });
    expect(of(found, 'repository/local')).toMatchObject({ level: 'ok' });
    expect(of(found, 'cluster/mairie/tools/pg_dump')).toMatchObject({ level: 'ok' });
  });

  it('F42: a state directory, repository or password file open to others is said', async () => {
    const passfile = join(folder, 'pgpass');
    await writeFile(passfile, '*:*:*:postgres:x\n', { mode: 0o644 });
    await chmod(join(folder, 'state'), 0o755);
    await chmod(join(folder, 'repo'), 0o755);
    const found = await findings({ connection: `{ host: "${socket}", port: ${port}, user: postgres, passfile: ${passfile} }` });
    expect(of(found, 'host/db1/state_dir')).toMatchObject({ level: 'error', fix: expect.stringContaining('chmod 700') });
    expect(of(found, 'repository/local')).toMatchObject({ level: 'warning', fix: expect.stringContaining('chmod 700') });
    expect(of(found, 'cluster/mairie/passfile')).toMatchObject({ level: 'error', fix: expect.stringContaining('chmod 600') });
  });

  it('F7: a policy that archives WAL on a server that does not', async () => {
    const found = await findings({ engine: 'pgbackrest' });
    expect(of(found, 'cluster/mairie/archiving')).toMatchObject({ level: 'error', fix: expect.stringContaining('archive_mode=on') });
    expect(of(found, 'cluster/mairie/tools/pgbackrest')).toMatchObject({ level: 'ok', message: expect.stringContaining('pgBackRest') });
  });

  it('a repository that is not there is not made by looking for it; a hook whose program is not there is wrong', async () => {
    await rm(join(folder, 'repo'), { recursive: true });
    const found = await findings({ more: '    hooks: { stop-applications: { argv: [/no/such/program], host: db1, timeout: 60s } }\n' });
    expect(of(found, 'repository/local')).toMatchObject({ level: 'ok', message: expect.stringContaining('does not exist yet') });
    expect(await readdir(folder)).not.toContain('repo');
    expect(of(found, 'cluster/mairie/hooks/stop-applications')).toMatchObject({ level: 'error', message: expect.stringContaining('/no/such/program') });
  });

  it('leaves nothing behind in the repository', async () => {
    await findings();
    expect(await readdir(join(folder, 'repo'))).toEqual([]);
  });
});
