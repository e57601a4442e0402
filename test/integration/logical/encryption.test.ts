import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeAll, expect, it } from '@jest/globals';
import pg from 'pg';
import type { Backup } from '../../../src/domain/backup/backup.js';
import type { EncryptionConfig } from '../../../src/domain/config.js';
import type { EngineContext } from '../../../src/engines/engine.js';
import { logicalEngine } from '../../../src/engines/logical/logical-engine.js';
import { createJobs, readJobs } from '../../../src/process/jobs/supervisor.js';
import { makeGround } from '../../contract/engine-fixture.js';
import type { Ground } from '../../contract/engine-fixture.js';
import { onlyBackup, toolOf } from '../../contract/engine-suite.js';
import { makeAgeKey } from '../../helpers/age.js';
import type { AgeKey } from '../../helpers/age.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { runQuery, startScratchCluster } from '../../helpers/postgres.js';
import type { ScratchCluster } from '../../helpers/postgres.js';
import { tempDir } from '../../helpers/temp.js';
import { below } from '../../helpers/site-processes.js';
import { until } from '../../helpers/until.js';
import { changeManifest, filesHolding, readManifestFile } from './faults.js';
import { CANARY, databasesOf, hold, startPatientSource } from './patient-source.js';
import { bound } from '../../helpers/bound.js';

failOnLeakedProcesses();

const run = promisify(execFile);
let source: ScratchCluster;
let ground: Ground;
let key: AgeKey;
let escrow: AgeKey;
let stranger: AgeKey;
let second = 0;
const undo: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  source = await startPatientSource();
  ground = await makeGround(source, 'logical', { restoreJobs: 1, compress: 0 }, { databases: ['mairie'] });
  [key, escrow, stranger] = await Promise.all([makeAgeKey(), makeAgeKey(), makeAgeKey()]);
});
afterEach(async () => {
  for (let next = undo.pop(); next !== undefined; next = undo.pop()) await next();
});
const directory = (): string => join(ground.repositoryPath, 'mairie', 'nightly');
const incoming = (): Promise<string[]> => readdir(join(directory(), 'incoming')).catch(() => []);
const labels = async (): Promise<string[]> =>
  (await logicalEngine.list(await ground.context('list'))).map(({ label }) => label);
const nextStart = (): string => new Date(Date.UTC(2026, 10, 21, 2, 15, second++)).toISOString();

/** Encrypted for the host's key and for escrow, read with the host's key, unless the test says otherwise. */
async function contextFor(operationId: string, changed: Partial<EncryptionConfig> | null = {}): Promise<EngineContext> {
  if (changed === null) return ground.context(operationId);
  const encryption = { recipients: [key.recipient, escrow.recipient], identity: { file: key.file }, ...changed };
  return ground.context(operationId, { policy: { ...ground.policy, encryption } });
}
const withoutKey = async (operationId: string): Promise<EngineContext> =>
  ground.context(operationId, { policy: { ...ground.policy, encryption: { recipients: [key.recipient] } } });
async function backUp(context: EngineContext, startedAt = nextStart()): Promise<Backup> {
  await logicalEngine.preflightBackup(context);
  return onlyBackup(await logicalEngine.backup(context, { type: 'full', startedAt }));
}
async function restore(context: EngineContext, backup: Backup, intoDatabase: string): Promise<void> {
  undo.push(() =>
    runQuery(source, 'postgres', `DROP DATABASE IF EXISTS ${pg.escapeIdentifier(intoDatabase)} WITH (FORCE)`),
  );
  const approved = await bound(logicalEngine, context, backup);
  const { connection } = context.cluster;
  await logicalEngine.logical?.restoreGlobals(context, { ...approved, connection });
  await logicalEngine.logical?.restoreDatabase(context, {
    ...approved,
    intoDatabase,
    connection,
  });
}
const outline = (context: EngineContext, backup: Backup) =>
  logicalEngine.outlineRecovery(context, {
    target: { kind: 'latest' },
    candidates: [backup],
    oldDataDir: null,
    databases: ['mairie'],
  });
async function holdBy(sql: string, name?: string): Promise<() => Promise<void>> {
  const release = await hold(source, sql, name);
  undo.push(release);
  return release;
}

it('S1: a second key alone opens dump and roles by hand, with nothing but age and pg_restore (escrow)', async () => {
  const backup = await backUp(await contextFor('escrow'));
  const [dump, globals] = [
    join(directory(), `${backup.label}.dump.age`),
    join(directory(), `${backup.label}.globals.sql.age`),
  ];
  const byHand = `age -d -i '${escrow.file}' '${dump}' | '${source.binDir}/pg_restore' --data-only --file=-`;
  const { stdout } = await run('/bin/bash', ['-c', `set -o pipefail; ${byHand}`], { maxBuffer: 1e8 });
  expect(stdout).toContain(`${CANARY} 20000`);
  expect((await run('age', ['-d', '-i', escrow.file, globals])).stdout).toMatch(
    /ALTER ROLE rdv WITH .*PASSWORD 'SCRAM/,
  );
  expect(await readManifestFile(directory(), backup.label)).toMatchObject({
    encryption: { tool: 'age', recipients: [key.recipient, escrow.recipient] },
  });
  expect(backup.encryption?.recipients).toHaveLength(2);
  expect(backup.sha256).toBe(
    createHash('sha256')
      .update(await readFile(dump))
      .digest('hex'),
  );
});

it('the commands of docs/encryption.md bring a backup back by hand, onto a server that knows nothing', async () => {
  const backup = await backUp(await contextFor('by hand'));
  const page = await readFile(join(import.meta.dirname, '../../../docs/encryption.md'), 'utf8');
  const [, block = ''] = /## Read a backup by hand[\s\S]*?```sh\n([\s\S]*?)```/.exec(page) ?? [];
  const script = block
    .replaceAll('/mnt/backups/mairie/nightly-dump', directory())
    .replaceAll('mairie_full_20261121_021500', backup.label)
    .replaceAll('escrow.txt', escrow.file);
  const target = await startScratchCluster();
  undo.push(() => target.remove());
  const env = {
    PATH: `${source.binDir}:${process.env['PATH'] ?? ''}`,
    PGHOST: target.host,
    PGPORT: String(target.port),
    PGUSER: target.user,
  };
  const { stdout } = await run('/bin/bash', ['-c', script], { env });
  expect(stdout).toContain(`${backup.sha256}  ${backup.label}.dump.age`);
  expect(stdout.trimEnd().endsWith('whole')).toBe(true);
  expect((await runQuery(target, 'mairie_restored', 'SELECT count(*)::int AS n FROM a')).rows).toEqual([{ n: 20000 }]);
  expect(
    (
      await runQuery(
        target,
        'postgres',
        "SELECT rolpassword LIKE 'SCRAM%' AS kept FROM pg_authid WHERE rolname = 'rdv'",
      )
    ).rows,
  ).toEqual([{ kept: true }]);
});

it('F39, F42: plain text lies nowhere, neither while the dump runs nor after it, a restore and a count', async () => {
  const release = await holdBy('BEGIN; LOCK TABLE b IN ACCESS EXCLUSIVE MODE');
  const running = contextFor('no plain text').then((context) =>
    logicalEngine.backup(context, { type: 'full', startedAt: nextStart() }),
  );
  await until(async () => (await incoming()).some((name) => name.endsWith('.globals.sql.age')), 'roles were written');
  await toolOf(ground.stateDir, 'no plain text');
  const begun = await incoming();
  expect(begun.filter((name) => !name.endsWith('.age') && !name.endsWith('.facts.json'))).toEqual([]);
  await release();
  const backup = onlyBackup(await running);
  const context = await contextFor('no plain text, read');
  expect(await logicalEngine.verify(context, backup)).toMatchObject({ ok: true });
  await restore(context, backup, 'restored');
  for (const place of [ground.repositoryPath, ground.stateDir]) {
    expect(await filesHolding(place, CANARY)).toEqual([]);
    expect(await filesHolding(place, 'SCRAM-SHA-256')).toEqual([]);
  }
  expect((await runQuery(source, 'restored', 'SELECT count(*)::int AS n FROM a')).rows).toEqual([{ n: 20000 }]);
});

it.each(['age', 'pg_dump', 'bash'])(
  'F3: %s killed in the middle is a failure, leaves nothing, and the next attempt makes the backup',
  async (victim) => {
    const before = await labels();
    const release = await holdBy('BEGIN; LOCK TABLE b IN ACCESS EXCLUSIVE MODE');
    const [startedAt, operationId] = [nextStart(), `killed ${victim}`];
    const failed = logicalEngine.backup(await contextFor(operationId), { type: 'full', startedAt }).then(
      () => null,
      (error: unknown) => error,
    );
    const shell = await toolOf(ground.stateDir, operationId);
    let pid: number | null = null;
    await until(async () => (pid = victim === 'bash' ? shell : await below(shell, victim)) !== null, `${victim} runs`);
    if (pid === null) throw new Error('it is gone');
    process.kill(pid, 'SIGKILL');
    await release();
    expect(await failed).toMatchObject({ code: expect.stringMatching(/^tool-(failed|rejected)$/) });
    expect(await labels()).toEqual(before);
    expect(await incoming()).toEqual([]);

    const backup = onlyBackup(await logicalEngine.backup(await contextFor(operationId), { type: 'full', startedAt }));
    expect((await readJobs(ground.stateDir, operationId)).find(({ tool }) => tool === 'pg_dump')?.starts).toBe(2);
    expect(await logicalEngine.verify(await contextFor(`verify ${operationId}`), backup)).toMatchObject({ ok: true });
  },
);

it('F3: pg_restore killed behind the pipe is a failure and leaves no database', async () => {
  const backup = await backUp(await contextFor('to be restored'));
  const release = await holdBy('SELECT 1', 'holds up the restore');
  const context = await contextFor('restore killed');
  const failed = restore(context, backup, 'half').then(
    () => null,
    (error: unknown) => error,
  );
  await until(
    async () =>
      (await readJobs(ground.stateDir, 'restore killed')).some(
        ({ tool, state }) => tool === 'pg_restore' && state === 'running',
      ),
    'pg_restore runs',
  );
  const shell = await toolOf(ground.stateDir, 'restore killed');
  let pid: number | null = null;
  await until(async () => (pid = await below(shell, 'pg_restore')) !== null, 'pg_restore reads');
  if (pid === null) throw new Error('it is gone');
  process.kill(pid, 'SIGKILL');
  await release();
  expect(await failed).toMatchObject({ code: expect.stringMatching(/^tool-(failed|rejected)$/) });
  expect(await databasesOf(source)).not.toContain('half');
});

it('S2: a wrong key is refused before anything is changed, and no backup is taken for damaged', async () => {
  const backup = await backUp(await contextFor('for the wrong key'));
  const before = await databasesOf(source);
  const wrong = await contextFor('wrong key', { identity: { file: stranger.file } });
  const refusal = {
    code: 'key-missing',
    message: expect.stringContaining('belongs to none of the recipients'),
    hint: expect.stringContaining('encryption.identity'),
  };
  await expect(logicalEngine.preflightBackup(wrong)).rejects.toMatchObject(refusal);
  await expect(outline(wrong, backup)).rejects.toMatchObject(refusal);
  await expect(logicalEngine.verify(wrong, backup)).rejects.toMatchObject(refusal);
  await expect(restore(wrong, backup, 'never')).rejects.toMatchObject(refusal);
  expect(await databasesOf(source)).toEqual(before);
  expect(await readJobs(ground.stateDir, 'wrong key')).toEqual([]);
});

it('S2: a host without a key makes backups, says so, and refuses to read them', async () => {
  const context = await withoutKey('no key');
  expect(await logicalEngine.preflightBackup(context)).toContainEqual(expect.stringContaining('this host has no key'));
  const backup = await backUp(context);
  const refusal = { code: 'key-missing', hint: expect.stringContaining('encryption.identity') };
  await expect(logicalEngine.verify(context, backup)).rejects.toMatchObject(refusal);
  await expect(outline(context, backup)).rejects.toMatchObject(refusal);
  expect(await logicalEngine.verify(await contextFor('elsewhere'), backup)).toMatchObject({ ok: true });
});

it('D2: a dump that outlived its worker on a host without a key becomes a backup all the same, its rows uncounted', async () => {
  const release = await holdBy('BEGIN; LOCK TABLE b IN ACCESS EXCLUSIVE MODE');
  const abort = new AbortController();
  const leaving = { signal: abort.signal, leaveOnAbort: () => true };
  const first = { ...(await withoutKey('left alone')), ...leaving };
  const jobs = createJobs({
    ...{ stateDir: ground.stateDir, operationId: 'left alone', user: first.user, ...leaving },
    report: () => undefined,
  });
  const request = { type: 'full', startedAt: nextStart() } as const;
  const left = logicalEngine.backup({ ...first, jobs }, request).then(
    () => 'ended',
    () => 'left',
  );
  await toolOf(ground.stateDir, 'left alone');
  // pg_dump and the session that counts both wait for the lock: the snapshot is taken up, and may go.
  await until(async () => {
    const { rows } = await runQuery(
      source,
      'mairie',
      "SELECT count(*)::int AS n FROM pg_locks WHERE NOT granted AND relation = 'b'::regclass",
    );
    return (rows[0] as { n: number }).n === 2;
  }, 'both wait');
  abort.abort(new Error('the worker shuts down'));
  expect(await left).toBe('left');
  await release();

  const made = onlyBackup(await logicalEngine.backup(await withoutKey('left alone'), request));
  expect((await readJobs(ground.stateDir, 'left alone')).map(({ tool, starts }) => [tool, starts])).toEqual([
    ['pg_dump', 1],
  ]);
  expect(made.contents).toBeUndefined();
  expect(await readManifestFile(directory(), made.label)).toMatchObject({ countedIn: 'nowhere', contents: [] });
  const elsewhere = await contextFor('read elsewhere');
  expect(await logicalEngine.verify(elsewhere, made)).toMatchObject({
    ok: true,
    detail: expect.stringContaining('not counted when it was made'),
  });
  await restore(elsewhere, made, 'uncounted');
  expect((await runQuery(source, 'uncounted', 'SELECT count(*)::int AS n FROM a')).rows).toEqual([{ n: 20000 }]);
});

it('F42: a key file that others may read, one that is gone, and one that is none are each refused with what to do', async () => {
  const other = await makeAgeKey();
  const backup = await backUp(
    await contextFor('for bad keys', { recipients: [other.recipient], identity: { file: other.file } }),
  );
  const tried = async (identity: NonNullable<EncryptionConfig['identity']>) =>
    logicalEngine.verify(await contextFor('bad key', { identity }), backup);
  await chmod(other.file, 0o644);
  await expect(tried({ file: other.file })).rejects.toMatchObject({
    code: 'key-missing',
    hint: expect.stringContaining('chmod 600'),
  });
  await expect(tried({ file: `${other.file}.gone` })).rejects.toMatchObject({
    code: 'key-missing',
    message: expect.stringContaining('does not exist'),
  });
  await expect(tried({ command: ['/bin/false'] })).rejects.toMatchObject({
    code: 'key-missing',
    message: expect.stringContaining('could not be read: no secret keys found'),
  });
  await expect(tried({ command: ['/bin/echo', 'hello'] })).rejects.toMatchObject({ code: 'key-missing' });
});

it('F39: a key given by a command serves dump, count and restore, and stands in no argument, environment, file or job record', async () => {
  const context = await contextFor('by command', { identity: { command: key.command } });
  const backup = await backUp(context);
  expect(await logicalEngine.verify(context, backup)).toMatchObject({ ok: true });
  const release = await holdBy('SELECT 1', 'holds up the restore');
  const restoring = restore(context, backup, 'by_command');
  await until(
    async () =>
      (await readJobs(ground.stateDir, 'by command')).some(
        ({ tool, state }) => tool === 'pg_restore' && state === 'running',
      ),
    'pg_restore runs',
  );
  const told = await Promise.all(
    (await readdir('/proc'))
      .filter((name) => /^\d+$/.test(name))
      .map(async (pid) => {
        const [argv, env] = await Promise.all(
          ['cmdline', 'environ'].map((file) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '')),
        );
        return `${argv}\n${env}`;
      }),
  );
  expect(told.some((text) => text.includes(key.command[0] ?? 'no command'))).toBe(true);
  expect(told.filter((text) => text.includes(key.secret))).toEqual([]);
  await release();
  await restoring;
  for (const place of [ground.repositoryPath, ground.stateDir])
    expect(await filesHolding(place, key.secret)).toEqual([]);
});

it('B3: older plain backups of the policy stay listed, restorable and removable beside encrypted ones', async () => {
  const plain = await backUp(await contextFor('plain', null));
  const encrypted = await backUp(await contextFor('encrypted'));
  expect(await labels()).toEqual(expect.arrayContaining([plain.label, encrypted.label]));
  const context = await contextFor('mixed');
  for (const backup of [plain, encrypted]) {
    expect(await logicalEngine.verify(context, backup)).toMatchObject({ ok: true });
    await restore(context, backup, `mixed ${backup.label}`);
  }
  const doomed = [plain.label, encrypted.label];
  const plan = await logicalEngine.planRemoval(context, doomed);
  expect(plan.alsoRemoves).toHaveLength(6);
  await logicalEngine.remove(context, doomed);
  expect((await readdir(directory())).filter((name) => doomed.some((label) => name.startsWith(label)))).toEqual([]);
});

it('F15: what SHA-256 would not find, because the manifest was changed with the file, age does', async () => {
  const backup = await backUp(await contextFor('forged'));
  const path = join(directory(), `${backup.label}.dump.age`);
  const content = await readFile(path);
  content.writeUInt8(content.readUInt8(content.length - 40_000) ^ 1, content.length - 40_000);
  await writeFile(path, content);
  const sha256 = createHash('sha256').update(content).digest('hex');
  await changeManifest(directory(), backup.label, ({ dump }) => ({ dump: { ...dump, sha256 } }));
  const forged = { ...backup, sha256 };
  expect(await logicalEngine.verify(await contextFor('verify forged'), forged)).toMatchObject({
    ok: false,
    detail: expect.stringContaining('damaged, or was changed'),
  });
  await expect(restore(await contextFor('restore forged'), forged, 'forged')).rejects.toMatchObject({
    code: 'backup-corrupt',
  });
  expect(await databasesOf(source)).not.toContain('forged');
  await logicalEngine.remove(await contextFor('remove forged'), [backup.label]);
});

it('S1: public keys may stand in a file; one that is none is named by its line and not repeated', async () => {
  const list = join(await tempDir('recipients'), 'recipients.txt');
  await writeFile(list, `# the safe\n${escrow.recipient}\n\n`);
  const encryption = { recipients: [key.recipient], recipientsFile: list };
  const backup = await backUp(await contextFor('by list', encryption));
  expect(backup.encryption?.recipients).toEqual([key.recipient, escrow.recipient]);
  await writeFile(list, `# the safe\n${escrow.secret}\n`);
  const refused = await logicalEngine
    .preflightBackup(await contextFor('bad list', encryption))
    .catch((error: Error) => error);
  expect(refused).toMatchObject({ code: 'config-invalid', message: expect.stringContaining('recipients.txt:2:') });
  expect(JSON.stringify(refused) + String(refused)).not.toContain(escrow.secret);
});

it('S1: where age is missing, the command that installs it is said before a backup begins', async () => {
  const before = process.env['PATH'];
  undo.push(async () => void (process.env['PATH'] = before));
  process.env['PATH'] = await tempDir('path');
  await expect(logicalEngine.preflightBackup(await contextFor('no age'))).rejects.toMatchObject({
    code: 'tool-missing',
    hint: 'apt-get install age',
  });
});
