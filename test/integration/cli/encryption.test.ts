import { execFile } from 'node:child_process';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Backup } from '../../../src/domain/backup/backup.js';
import type { Finding } from '../../../src/domain/findings.js';
import type { InspectionResults } from '../../../src/domain/operation/inspections.js';
import { contentOf } from '../../contract/engine-fixture.js';
import { makeAgeKey } from '../../helpers/age.js';
import type { AgeKey } from '../../helpers/age.js';
import { CanaryWatch, filesBelow, textOf } from '../../helpers/canary.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { answer, approved, editConfig, planned, reaches, refusal, told } from '../../helpers/site-cli.js';
import { Site } from '../../helpers/site.js';
import { tempDir } from '../../helpers/temp.js';

failOnLeakedProcesses();

const run = promisify(execFile);
let site: Site;
let watch: CanaryWatch;
let key: AgeKey;
let escrow: AgeKey;
const prove = (...argv: readonly string[]): readonly string[] => [
  'key',
  'prove',
  'mairie',
  '--policy',
  'dump',
  ...argv,
];
const findings = async (): Promise<readonly Finding[]> => {
  const { document } = await told<{ findings: readonly Finding[] }>(site, 'doctor');
  return document.findings.filter(({ check }) => check === 'cluster/mairie/encryption/dump');
};

beforeAll(async () => {
  site = await Site.create({ proof: 'restore' });
  [key, escrow] = await Promise.all([makeAgeKey(), makeAgeKey()]);
  const encryption = `encryption: { recipients: [${key.recipient}, ${escrow.recipient}], identity: { command: [${key.command[0] ?? ''}] } }`;
  await editConfig(site, (text) => text.replace('dump: { engine: logical,', `dump: { engine: logical, ${encryption},`));
  await site.startWorker();
  watch = new CanaryWatch([key.secret, escrow.secret], site.session.client);
  watch.overhear(site);
});
afterAll(() => watch.stop());

describe('encrypted backups from the command line', () => {
  it('S1, B5: are taken, proven by a restore and recovered from', async () => {
    const expected = await contentOf(site.server, undefined, ['mairie']);
    const { backups } = await answer<{ backups: readonly Backup[] }>(
      site,
      'backup',
      'run',
      'mairie',
      '--policy',
      'dump',
    );
    expect(backups[0]).toMatchObject({
      proven: { level: 'restored' },
      encryption: { tool: 'age', recipients: [key.recipient, escrow.recipient] },
    });
    const stored = (await readdir(join(site.places.backupsDir, 'mairie', 'dump'))).filter((name) =>
      name.startsWith(backups[0]?.label ?? 'no label'),
    );
    expect(stored.map((name) => name.slice(backups[0]?.label.length))).toEqual([
      '.dump.age',
      '.globals.sql.age',
      '.json',
    ]);

    await site.query('DELETE FROM metier.demandes_rdv');
    const plan = await planned(site, '--policy', 'dump', '--to', 'latest');
    await approved(site, plan);
    await reaches(site, plan.workflowId, 'completed');
    expect(await contentOf(site.server, undefined, ['mairie'])).toEqual(expected);
  });

  it('S1: a holder elsewhere proves that the key is there, with age alone, and doctor asks no more', async () => {
    expect((await findings()).map(({ level }) => level)).toEqual(['warning', 'ok']);
    const file = join(await tempDir('challenge'), 'challenge.age');
    expect(await refusal(site, ...prove('--challenge', file))).toMatchObject({
      exit: 2,
      code: 'usage',
      hint: expect.stringContaining(escrow.recipient),
    });
    const { challenges } = await answer<InspectionResults['key-challenge']>(
      site,
      ...prove('--recipient', escrow.recipient, '--challenge', file),
    );
    expect(challenges).toEqual([
      { recipient: escrow.recipient, challenge: await readFile(file, 'utf8'), provenAt: null },
    ]);

    await expect(run('age', ['-d', '-i', key.file, file])).rejects.toThrow(/no identity matched/);
    const { stdout } = await run('age', ['-d', '-i', escrow.file, file]);
    expect(await refusal(site, ...prove('--recipient', key.recipient, '--answer', stdout.trim()))).toMatchObject({
      exit: 8,
      code: 'check-failed',
    });
    expect(await refusal(site, ...prove('--recipient', escrow.recipient, '--answer', 'a guess'))).toMatchObject({
      exit: 8,
      hint: expect.stringContaining('--challenge'),
    });
    const asked = Date.now();
    const first = await answer<InspectionResults['key-answer']>(
      site,
      ...prove('--recipient', escrow.recipient, '--answer', stdout.toUpperCase(), '--by', 'the notary'),
    );
    const provenAt = Date.parse(first.provenAt);
    // Written to the second, perhaps.
    expect(provenAt).toBeGreaterThanOrEqual(asked - 1000);
    expect(provenAt).toBeLessThanOrEqual(Date.now());
    expect(await answer(site, ...prove('--recipient', escrow.recipient, '--answer', stdout))).toMatchObject({
      provenAt: first.provenAt,
    });
    expect(await findings()).toEqual([
      expect.objectContaining({ level: 'ok', message: expect.stringContaining('1 of 2 verified') }),
    ]);
  });

  it('S1: tells a person what to do where the key is kept, for each recipient; overwrites no file; knows its recipients', async () => {
    const { stdout, code } = await site.cli(...prove());
    expect(code).toBe(0);
    expect(stdout.match(/BEGIN AGE ENCRYPTED FILE/g)).toHaveLength(2);
    expect(stdout).toContain('last proven: never');
    expect(stdout).toContain(`reprise key prove mairie --policy dump --recipient ${escrow.recipient} --answer TEXT`);
    const file = join(await tempDir('challenge'), 'mine');
    await answer(site, ...prove('--recipient', key.recipient, '--challenge', file));
    const { mtimeMs } = await stat(file);
    expect(await refusal(site, ...prove('--recipient', key.recipient, '--challenge', file))).toMatchObject({
      exit: 9,
      code: 'path-refused',
    });
    expect((await stat(file)).mtimeMs).toBe(mtimeMs);
    expect(await refusal(site, ...prove('--recipient', (await makeAgeKey()).recipient))).toMatchObject({
      exit: 6,
      code: 'not-found',
    });
    expect(await refusal(site, ...prove('--answer', 'x'))).toMatchObject({ exit: 2, code: 'usage' });
    expect(await refusal(site, 'key', 'prove', 'mairie', '--policy', 'physical')).toMatchObject({
      exit: 9,
      code: 'capability-missing',
    });
  });

  it('F39: neither key was in an argument, an environment, a history, a log, a record or any other file; nor was plain text in a file', async () => {
    const { workflow } = site.session.client;
    let histories = 0;
    for await (const { workflowId, runId } of workflow.list()) {
      watch.search(`history of ${workflowId}`, textOf(await workflow.getHandle(workflowId, runId).fetchHistory()));
      histories += 1;
    }
    expect(histories).toBeGreaterThan(3);
    const files = await filesBelow(site.root, /^(pgdata|pgb\/repo)\//);
    expect(files.some(([path]) => path.endsWith('.dump.age'))).toBe(true);
    for (const [path, text] of files) watch.search(path, text);
    expect(watch.looks).toBeGreaterThan(10);
    expect([...watch.sightings]).toEqual([]);
    expect(
      files
        .filter(([path, text]) => path.startsWith(site.places.backupsDir) && /CREATE ROLE|COPY metier|PGDMP/.test(text))
        .map(([path]) => path),
    ).toEqual([]);
  });
});
