import {
  chmod,
  chown,
  cp,
  mkdir,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, it } from '@jest/globals';
import type { AdoptionPreview, AdoptOutput } from '../../../src/domain/backup/adoption.js';
import type { Plan } from '../../../src/domain/plan/plan.js';
import type { Backup } from '../../../src/domain/backup/backup.js';
import type { RotateOutput } from '../../../src/domain/retention/retention.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { giveToPostgres, runAsPostgres } from '../../helpers/postgres-user.js';
import { answer, editConfig, refusal, snapshot, told } from '../../helpers/site-cli.js';
import { Site } from '../../helpers/site.js';

failOnLeakedProcesses();

let site: Site;
let old: string;
const adopt = (...argv: string[]) =>
  told<AdoptOutput & { workflowId: string }>(site, 'backup', 'adopt', 'mairie', '--yes', ...argv);
const listed = async () => (await answer<{ backups: Backup[] }>(site, 'backup', 'list')).backups;
const pgDump = (file: string, database: string, ...options: string[]) => {
  const { socketDir, port } = site.places;
  return runAsPostgres(join(site.binDir, 'pg_dump'), [
    '-h',
    socketDir,
    '-p',
    String(port),
    '-U',
    'postgres',
    '-d',
    database,
    '-f',
    join(old, file),
    ...options,
  ]);
};
const sql = (statements: string) => site.query(statements);
const pgbackrest = (...argv: string[]) =>
  runAsPostgres('pgbackrest', [`--config=${site.places.pgbackrestConf}`, '--stanza=main', ...argv]);

beforeAll(async () => {
  site = await Site.create();
  old = join(site.root, 'old dumps');
  await mkdir(old);
  await giveToPostgres(old);
  await chmod(old, 0o755);
  await mkdir(join(site.root, 'parts'));
  await mkdir(join(site.root, 'open'));
  await chmod(join(site.root, 'open'), 0o777);
  await mkdir(join(site.root, 'foreign'));
  await chown(join(site.root, 'foreign'), 65_534, 65_534);
  const folder = (name: string) => JSON.stringify(join(site.root, name));
  await editConfig(site, (text) =>
    text.replace(
      '    approvals:\n',
      `    import_folders: { old: ${JSON.stringify(old)}, ${['more', 'parts', 'open', 'foreign', 'nowhere'].map((name) => `${name}: ${folder(name)}`).join(', ')} }\n    approvals:\n`,
    ),
  );
  await site.startWorker();
});

describe('B6: backup adopt --from a folder of dumps', () => {
  beforeAll(async () => {
    await pgDump('mairie -- lundi (été).backup', 'mairie', '-Fc');
    await site.commit(7);
    await pgDump('mardi', 'mairie', '-Fc');
    await cp(join(old, 'mardi'), join(old, 'mardi-copy'));
    await cp(join(old, 'mardi'), join(old, 'truncated.dump'));
    await truncate(join(old, 'truncated.dump'), Math.floor((await stat(join(old, 'mardi'))).size * 0.7));
    await pgDump('plain.sql', 'mairie');
    await pgDump('packed.tar', 'mairie', '-Ft');
    await pgDump('folder', 'mairie', '-Fd');
    await pgDump('other.dump', 'postgres', '-Fc');
    await writeFile(join(old, 'README.md'), '# notes\n');
    await writeFile(join(old, 'empty.dump'), '');
    await writeFile(join(old, 'packed.sql.gz'), gzipSync('-- x'));
    await writeFile(join(old, '.gitkeep'), '');
    await symlink('/etc/shadow', join(old, 'link.dump'));
    // As cron leaves them: readable by all. What the worker's user may not read is said.
    for (const name of ['mardi-copy', 'truncated.dump', 'README.md', 'empty.dump', 'packed.sql.gz'])
      await chmod(join(old, name), 0o644);
    await utimes(join(old, 'mardi'), new Date(), new Date());
  });

  const LEFT_OUT: Readonly<Record<string, RegExp>> = {
    'README.md': /no dump of pg_dump/,
    'empty.dump': /empty/,
    folder: /directory format/,
    'link.dump': /symbolic link/,
    'other.dump': /dump of database "postgres".*mairie/,
    'packed.sql.gz': /gzip/,
    'packed.tar': /tar format/,
    'plain.sql': /plain SQL/,
  };

  it('--dry-run lists what would be taken and what not, each with its reason, and changes nothing', async () => {
    const before = await snapshot(site.places.backupsDir, old);
    const preview = await answer<AdoptionPreview>(site, 'backup', 'adopt', 'mairie', '--from', old, '--dry-run');
    expect(preview.adopt.map(({ name }) => name).toSorted()).toEqual([
      'mairie -- lundi (été).backup',
      'mardi',
      'mardi-copy',
      'truncated.dump',
    ]);
    expect(preview.adopt.every(({ policy, database }) => policy === 'dump' && database === 'mairie')).toBe(true);
    expect(Object.fromEntries(preview.refused.map(({ name, reason }) => [name, reason]))).toEqual(
      Object.fromEntries(Object.entries(LEFT_OUT).map(([name, reason]) => [name, expect.stringMatching(reason)])),
    );
    expect(await snapshot(site.places.backupsDir, old)).toEqual(before);
  });

  it('F3, F15: copies, reads whole, verifies; the truncated dump and all that is none is named and left out (exit 3)', async () => {
    const before = await snapshot(old);
    const { exit, document, error } = await adopt('--from', old);
    expect([exit, error?.code]).toEqual([3, 'partly-done']);
    // One content, two files: one backup.
    expect(document.known).toBe(1);
    expect(document.adopted).toHaveLength(2);
    expect(document.adopted).toMatchObject([
      { from: 'mairie -- lundi (été).backup', proven: true },
      { from: expect.stringMatching(/^mardi(-copy)?$/), proven: true },
    ]);
    expect(document.refused.map(({ name }) => name).toSorted()).toEqual(
      [...Object.keys(LEFT_OUT), 'truncated.dump'].toSorted(),
    );
    expect(document.refused.find(({ name }) => name === 'truncated.dump')?.reason).toMatch(/truncated or damaged/);
    expect(await snapshot(old)).toEqual(before);

    const backups = await listed();
    expect(backups.map(({ id }) => id).toSorted()).toEqual(document.adopted.map(({ id }) => id).toSorted());
    for (const backup of backups) {
      expect(backup).toMatchObject({
        policy: 'dump',
        engine: 'logical',
        status: 'complete',
        database: 'mairie',
        sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
        // Read whole, and nobody knows where it came from.
        adopted: { checked: false },
        proven: { level: 'adopted' },
      });
    }
    const { backup } = await answer<{ backup: Backup }>(site, 'backup', 'show', document.adopted[0]?.id ?? '');
    expect(backup.contents).toContainEqual({ database: 'mairie', schema: 'metier', table: 'communes', rows: 500 });
    expect(await site.leftovers()).toEqual({ processes: [], files: [], databases: [] });
  });

  it('again it adopts nothing: all is known; what is left out is still said, as a failed check', async () => {
    const before = await listed();
    const { exit, document, error } = await adopt('--from', old);
    expect([exit, error?.code]).toEqual([8, 'check-failed']);
    expect(document).toMatchObject({ adopted: [], known: 3 });
    expect(await listed()).toEqual(before);
  });

  it('F42: what was copied is owner-only, and has one name: a later write into the original changes no backup', async () => {
    const directory = join(site.places.backupsDir, 'mairie', 'dump');
    for (const name of (await readdir(directory)).filter((one) => one.endsWith('.dump'))) {
      const { mode, nlink } = await stat(join(directory, name));
      expect([mode & 0o777, nlink]).toEqual([0o600, 1]);
    }
    await writeFile(join(old, 'mairie -- lundi (été).backup'), 'x', { flag: 'r+' });
    const [first] = (await listed()).toSorted((a, b) => (a.startedAt < b.startedAt ? -1 : 1));
    expect(await answer(site, 'backup', 'verify', first?.id ?? '')).toMatchObject({ ok: true });
  });

  it('G8: it comes from a folder that the configuration names, and that nobody else may write', async () => {
    const refused = (from: string) => refusal(site, 'backup', 'adopt', 'mairie', '--from', from, '--yes');
    for (const from of ['/tmp', site.root, 'toString', '../old'])
      expect(await refused(from)).toMatchObject({ exit: 9, code: 'path-refused' });
    expect(await refused('open')).toMatchObject({
      exit: 9,
      message: expect.stringContaining('may be written by others'),
    });
    expect(await refused('foreign')).toMatchObject({
      exit: 9,
      message: expect.stringContaining('belongs to user 65534'),
    });
  });

  it('G8: an adopted dump is not chosen for latest, unless it is named or was restore-tested here', async () => {
    const [one] = await listed();
    expect(await refusal(site, 'recover', 'mairie', '--policy', 'dump', '--dry-run')).toMatchObject({
      exit: 9,
      code: 'no-usable-backup',
      hint: expect.stringContaining('--restore'),
    });
    const named = await answer<{ plan: Plan }>(site, 'recover', 'mairie', '--to', `backup:${one?.id}`, '--dry-run');
    expect(named.plan.observed.warnings.join()).toContain('was adopted (of unknown origin, not restore-tested here)');
  });

  it('G8: restore-tested here, it is used like one of our own, and still named as adopted', async () => {
    const newest = (await listed()).toSorted((a, b) => (a.startedAt < b.startedAt ? -1 : 1)).at(-1);
    expect(await answer(site, 'backup', 'verify', newest?.id ?? '', '--restore')).toMatchObject({
      ok: true,
      backup: { proven: { level: 'restored' }, adopted: { checked: false } },
    });
    const { plan } = await answer<{ plan: Plan }>(site, 'recover', 'mairie', '--policy', 'dump', '--dry-run');
    expect(plan.binding.backups).toMatchObject([{ id: newest?.id }]);
    expect(plan.observed.warnings.join()).toContain('restore-tested here');
  });

  it('R1: definitions without rows, rows alone, and rows left out are partial: never verified, never used, and rotation keeps a whole one', async () => {
    const parts = join(site.root, 'parts');
    const options: Readonly<Record<string, readonly string[]>> = {
      schema: ['--schema-only'],
      rows: ['--data-only'],
      excluded: ['--exclude-table-data=metier.communes'],
      selected: ['--table=metier.communes'],
      // Their tables of contents look whole: the database knows better.
      ...{ onlySchema: ['-n', 'metier'], withoutSchema: ['-N', 'annexe'], withoutTable: ['-T', 'annexe.a'] },
      ...{ withoutBlobs: ['--no-blobs'], withoutKeys: ['--section=pre-data', '--section=data'] },
    };
    const lookWhole = ['onlySchema', 'withoutSchema', 'withoutTable', 'withoutBlobs', 'withoutKeys'];
    await sql(
      "CREATE SCHEMA annexe; CREATE TABLE annexe.a (i int PRIMARY KEY); SELECT lo_from_bytea(0, 'x'); CREATE TABLE metier.newest (i int)",
    );
    for (const [name, option] of Object.entries(options)) {
      await pgDump(`part-${name}`, 'mairie', '-Fc', ...option);
      await cp(join(old, `part-${name}`), join(parts, name));
    }
    const before = await listed();
    const preview = await answer<AdoptionPreview>(site, 'backup', 'adopt', 'mairie', '--from', parts, '--dry-run');
    expect(
      preview.adopt
        .filter(({ partial }) => partial === undefined)
        .map(({ name }) => name)
        .toSorted(),
    ).toEqual(lookWhole.toSorted());
    const { exit, document, error } = await adopt('--from', parts);
    expect([exit, error?.message]).toEqual([8, 'nothing was adopted, 9 left out (9 partial)']);
    const why = (name: string) => document.adopted.find(({ from }) => from === name)?.detail;
    expect(why('onlySchema')).toMatch(/without schema annexe.*which the database had/s);
    expect(why('withoutTable')).toMatch(/without table annexe\.a.*which the database had/s);
    expect(why('withoutBlobs')).toMatch(/without large objects/);
    expect(why('withoutKeys')).toMatch(/without \w* ?(?:constraint|index|trigger)/);
    expect(document.adopted.map(({ proven, partial }) => [proven, partial])).toEqual(
      Object.keys(options).map(() => [false, true]),
    );
    const partial = (await listed()).filter(({ id }) => !before.some((one) => one.id === id));
    expect(partial.map(({ status, proven }) => [status, proven])).toEqual(
      Object.keys(options).map(() => ['partial', null]),
    );

    const [id = ''] = partial.map((one) => one.id);
    for (const restore of [[], ['--restore']])
      expect(await told(site, 'backup', 'verify', id, ...restore)).toMatchObject({ exit: 8, document: { ok: false } });
    expect((await listed()).find((one) => one.id === id)).toMatchObject({ status: 'partial', proven: null });
    expect(await refusal(site, 'recover', 'mairie', '--to', `backup:${id}`, '--dry-run')).toMatchObject({
      exit: 9,
      code: 'no-usable-backup',
    });
    const { plan } = await answer<{ plan: Plan }>(site, 'recover', 'mairie', '--policy', 'dump', '--dry-run');
    expect(partial.map((one) => one.id)).not.toContain(plan.binding.backups[0]?.id);
    expect(plan.observed.warnings.join()).toContain('newer but partial');
    const { keep } = await answer<RotateOutput>(site, 'rotate', 'mairie', '--policy', 'dump', '--dry-run');
    expect(keep.find((one) => one.id === plan.binding.backups[0]?.id)?.reason).toContain('restore-tested');
    for (const one of partial)
      expect(keep.find((kept) => kept.id === one.id)?.reason ?? '').not.toMatch(/verified|restore-tested/);
  });

  it('R1: one that may be a part keeps a level of its own: restore-tested it counts for nothing, and takes no place of others', async () => {
    const more = join(site.root, 'more');
    await mkdir(more, { recursive: true });
    await pgDump('perhaps', 'mairie', '-Fc', '-N', 'later');
    await cp(join(old, 'perhaps'), join(more, 'perhaps.dump'));
    await chmod(join(more, 'perhaps.dump'), 0o644);
    await chmod(more, 0o755);
    // Younger than all that is in the dump: nobody can tell whether it was there.
    await sql('CREATE SCHEMA later; CREATE TABLE later.l (i int)');
    const { document } = await adopt('--from', more);
    expect(document.adopted).toMatchObject([{ proven: true, detail: expect.stringContaining('counts for nothing') }]);
    const id = document.adopted[0]?.id ?? '';
    expect(await answer(site, 'backup', 'verify', id, '--restore')).toMatchObject({
      ok: true,
      backup: {
        proven: { level: 'adopted' },
        adopted: { checked: false, whole: false, unknown: expect.stringContaining('schema later') },
      },
    });
    const { plan } = await answer<{ plan: Plan }>(site, 'recover', 'mairie', '--policy', 'dump', '--dry-run');
    expect(plan.binding.backups.map((one) => one.id)).not.toContain(id);
    expect(plan.observed.warnings.join()).toContain(`backup ${id} is newer but adopted and perhaps not whole`);
    const { keep } = await answer<RotateOutput>(site, 'rotate', 'mairie', '--policy', 'dump', '--dry-run');
    expect(keep.find((one) => one.id === plan.binding.backups[0]?.id)?.reason).toContain('restore-tested');
    await sql('DROP SCHEMA later CASCADE');
    await rm(more, { recursive: true });
  });

  it('a folder that is not there, a policy that takes no files, a cluster that is not there', async () => {
    expect(
      await refusal(site, 'backup', 'adopt', 'mairie', '--from', join(site.root, 'nowhere'), '--yes'),
    ).toMatchObject({
      exit: 6,
      code: 'not-found',
    });
    expect(
      await refusal(site, 'backup', 'adopt', 'mairie', '--from', old, '--policy', 'physical', '--yes'),
    ).toMatchObject({
      exit: 9,
      code: 'capability-missing',
    });
    expect(await refusal(site, 'backup', 'adopt', 'marie')).toMatchObject({ exit: 6, code: 'not-found' });
  });

  it('F1: a worker killed in the middle costs nothing: the next one goes on, and each file is one backup', async () => {
    await site.commit(3);
    const more = join(site.root, 'more');
    await mkdir(more);
    for (const name of ['a', 'b', 'c']) {
      await site.commit(1);
      await pgDump(`more-${name}`, 'mairie', '-Fc');
      await cp(join(old, `more-${name}`), join(more, `${name}.dump`));
      await chmod(join(more, `${name}.dump`), 0o644);
    }
    await chmod(more, 0o755);
    const before = (await listed()).length;
    for (const worker of site.workers) await worker.kill();
    const first = await site.startWorker({ REPRISE_CRASH_AT: 'job:after-spawn@cp' });
    const { workflowId } = await answer<{ workflowId: string }>(
      site,
      'backup',
      'adopt',
      'mairie',
      '--from',
      more,
      '--yes',
      '--detach',
    );
    await first.exited();
    const second = await site.startWorker({ REPRISE_CRASH_AT: 'activity:adoptBackups:after' });
    await second.exited();
    await site.startWorker();
    const result = (await site.session.client.workflow.getHandle(workflowId).result()) as AdoptOutput;
    expect(result.adopted.map(({ from, proven }) => [from, proven])).toEqual([
      ['a.dump', true],
      ['b.dump', true],
      ['c.dump', true],
    ]);
    expect((await listed()).length).toBe(before + 3);
  });
});

describe('B6: backup adopt of an existing pgBackRest stanza', () => {
  it('backups by cron get a record and are verified; nothing counted as proven before; again nothing is to be done', async () => {
    await pgbackrest('stanza-create');
    await pgbackrest('--type=full', 'backup');
    await pgbackrest('--type=incr', 'backup');
    const labels = (await listed())
      .filter(({ engine }) => engine === 'pgbackrest')
      .map(({ label, proven }) => [label, proven]);
    expect(labels).toEqual([
      [expect.stringMatching(/F$/), null],
      [expect.stringMatching(/I$/), null],
    ]);

    const { exit, document } = await adopt();
    expect(exit).toBe(0);
    expect(document.refused).toEqual([]);
    expect(document.adopted.map(({ from, proven }) => [from, proven])).toEqual([
      [null, true],
      [null, true],
    ]);
    const physical = (await listed()).filter(({ engine }) => engine === 'pgbackrest');
    expect(physical).toMatchObject([
      {
        policy: 'physical',
        type: 'full',
        proven: { level: 'verified' },
        adopted: { checked: true },
        status: 'complete',
      },
      { policy: 'physical', type: 'incr', proven: { level: 'verified' }, dependsOn: [physical[0]?.label] },
    ]);
    expect(await answer<AdoptOutput>(site, 'backup', 'adopt', 'mairie')).toMatchObject({ adopted: [], refused: [] });
  });

  it('F15: one that is damaged is recorded and quarantined, and never counts (exit 3 or 8)', async () => {
    await pgbackrest('--type=full', 'backup');
    const stanza = join(site.root, 'pgb', 'repo', 'backup', 'main');
    const label =
      (await readdir(stanza))
        .filter((name) => /F$/.test(name))
        .toSorted()
        .at(-1) ?? '';
    const files = (await readdir(join(stanza, label), { recursive: true }))
      .filter((name) => /base\/.*\.gz$/.test(name))
      .toSorted();
    const file = join(stanza, label, files[0] ?? '');
    await writeFile(
      file,
      Buffer.from([...(await readFile(file))].map((byte, index) => (index === 20 ? byte ^ 1 : byte))),
    );
    const { exit, document } = await adopt('--policy', 'physical');
    expect(exit).toBe(8);
    expect(document.adopted).toMatchObject([{ id: `mairie:pgbackrest:${label}`, proven: false }]);
    expect((await listed()).find((backup) => backup.label === label)).toMatchObject({
      status: 'quarantined',
      proven: null,
    });
  });

  it('several policies that dump: one must be named', async () => {
    for (const worker of site.workers) await worker.kill();
    await editConfig(site, (text) =>
      text.replace('    recovery:\n', '      weekly: { engine: logical, repository: local }\n    recovery:\n'),
    );
    await site.startWorker();
    expect(await refusal(site, 'backup', 'adopt', 'mairie', '--from', old)).toMatchObject({
      exit: 2,
      code: 'usage',
      hint: expect.stringContaining('weekly'),
    });
  });
});
