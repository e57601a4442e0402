import { createHash } from 'node:crypto';
import { readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { Backup } from '../../src/domain/backup/backup.js';
import type { RecoveryTarget } from '../../src/domain/target/target.js';
import type { Engine, EngineContext, MadeBackup } from '../../src/engines/engine.js';
import { readJobs } from '../../src/process/jobs/supervisor.js';
import { asBackup, onlyBackup } from './as-backup.js';
import type { Content } from './engine-fixture.js';
import { recoveryContract } from './recovery-suite.js';
import type { RecoveryFixture } from './recovery-suite.js';
import { until } from '../helpers/until.js';

export { asBackup, onlyBackup };

/** What the suite needs of an engine; a new engine supplies this and is done when the suite is green. */
export interface EngineFixture {
  readonly engine: Engine;
  readonly stateDir: string;
  /** A context as an activity makes it: the same operation id is the next attempt of the same operation. */
  context(operationId: string, changed?: Partial<EngineContext>): Promise<EngineContext>;
  /** Content of the source, by database. */
  sourceContent(): Promise<Content>;
  /** Changes the source, so that its content is another one. */
  changeSource(): Promise<void>;
  /** Outlines and restores these backups (all of one `backup` call) somewhere else, reads the content and clears up. */
  restoreAndHash(context: EngineContext, backups: readonly Backup[]): Promise<Content>;
  /** Directory that holds all files of the policy's backups, absolute. */
  readonly directory: string;
  /** Name, below the directory, of where WAL is archived all the while, whatever becomes of a backup. */
  readonly walFolder?: string;
  /** Its tool deletes only all before a backup that stays. */
  readonly removesOldestOnly?: true;
  /** Its tool leaves the parts of a killed backup, in nobody's list: to resume it, or until it deletes what is older. */
  readonly keepsParts?: true;
  /** The file of this backup whose damage must be found: the dump; the biggest data file of a physical one. */
  dataFile(backup: MadeBackup): Promise<string>;
  /** Makes the next backup's tool wait in its middle; the function returned lets it go on. */
  holdTool(): Promise<() => Promise<void>>;
  /** For engines that restore data directories. */
  readonly recovery?: RecoveryFixture;
}

const targets: readonly RecoveryTarget[] = [
  { kind: 'latest' },
  { kind: 'time', time: '2026-01-01T00:00:00.000Z' },
  { kind: 'lsn', lsn: '0/1' },
  { kind: 'xid', xid: '700' },
  { kind: 'name', name: 'before' },
  { kind: 'end-of-backup' },
  { kind: 'backup', id: 'mairie:none:none' },
];

/** What every engine promises, tried on a real cluster, real tools, real jobs and a real repository. */
export function engineContract({
  name,
  makeFixture,
  ownFiles = true,
  recovers = false,
}: {
  name: string;
  makeFixture: () => Promise<EngineFixture>;
  ownFiles?: boolean;
  recovers?: boolean;
}): void {
  describe(`engine contract: ${name}`, () => {
    let fixture: EngineFixture;
    let engine: Engine;
    const undo: (() => Promise<unknown>)[] = [];
    beforeAll(async () => {
      fixture = await makeFixture();
      engine = fixture.engine;
    });
    afterEach(async () => {
      for (let next = undo.pop(); next !== undefined; next = undo.pop()) await next();
    });

    let second = 0;
    /** Backs up as one operation; `startedAt` differs by a second from one to the next, as names do. */
    async function backUp(operationId: string, startedAt = nextStart()): Promise<readonly MadeBackup[]> {
      const context = await fixture.context(operationId);
      await engine.preflightBackup(context);
      return engine.backup(context, { type: 'full', startedAt });
    }
    const nextStart = (): string => new Date(Date.UTC(2026, 10, 21, 2, 15, second++)).toISOString();
    const labelsOf = async (): Promise<string[]> => {
      const listed = await engine.list(await fixture.context('list'));
      return listed.map(({ label }) => label);
    };
    const isWal = (file: string): boolean =>
      fixture.walFolder !== undefined && file.startsWith(`${fixture.walFolder}/`);
    const startsOf = async (operationId: string): Promise<number> => {
      const jobs = await readJobs(fixture.stateDir, operationId);
      return jobs.reduce((sum, job) => sum + job.starts, 0);
    };

    it('B1, P1: backs up, lists what it made, verifies it', async () => {
      const made = await backUp('first');
      expect(made.length).toBeGreaterThan(0);
      for (const backup of made) {
        expect(backup.id).toBe(`mairie:${engine.kind}:${backup.label}`);
        expect(backup.sizeBytes).toBeGreaterThan(0);
        expect(backup.finishedAt).not.toBeNull();
        const listed = (await engine.list(await fixture.context('list'))).filter(({ label }) => label === backup.label);
        expect(listed).toHaveLength(1);
        expect(listed[0]).toMatchObject({ type: 'full', sizeBytes: backup.sizeBytes });
        expect(listed[0]?.damaged).toBeUndefined();
        const verdict = await engine.verify(await fixture.context(`verify ${backup.label}`), asBackup(backup));
        expect(verdict).toMatchObject({ ok: true });
      }
    });

    it('D2: a verification whose answer was lost comes to the same verdict again', async () => {
      const [backup] = await backUp('answer lost');
      if (backup === undefined) throw new Error('no backup was made');
      const verify = async () => engine.verify(await fixture.context('verify, answer lost'), asBackup(backup));
      const first = await verify();
      expect(first).toMatchObject({ ok: true });
      expect(await verify()).toEqual(first);
    });

    it('D2: a second attempt of an operation returns the same backups and starts no tool again', async () => {
      const startedAt = nextStart();
      const made = await backUp('twice', startedAt);
      const starts = await startsOf('twice');
      const labels = await labelsOf();
      expect(await backUp('twice', startedAt)).toEqual(made);
      expect(await startsOf('twice')).toBe(starts);
      expect(await labelsOf()).toEqual(labels);
    });

    // The files of a storage server are its own.
    if (ownFiles)
      it('F42: all files are readable by their owner only', async () => {
        await backUp('modes');
        expect(await openToOthers(fixture.directory)).toEqual([]);
      });

    it.each(['bit flip', 'truncation', 'zero bytes'])('F15: verify finds a %s, and says so', async (damage) => {
      const [backup] = await backUp(`damaged ${damage}`);
      if (backup === undefined) throw new Error('no backup was made');
      await harm(await fixture.dataFile(backup), damage);
      const verdict = await engine.verify(await fixture.context(`verify ${damage}`), asBackup(backup));
      expect(verdict.ok).toBe(false);
      expect(verdict.detail).not.toBe('');
      if (!fixture.removesOldestOnly) await engine.remove(await fixture.context(`remove ${damage}`), [backup.label]);
    });

    it('B3: removes exactly what was planned, and what is gone already is no error', async () => {
      const gone = await backUp('to be removed');
      const stays = await backUp('to stay');
      const before = await labelsOf();
      const labels = fixture.removesOldestOnly
        ? before.filter((label) => stays.every((backup) => backup.label !== label))
        : gone.map(({ label }) => label);
      const plan = await engine.planRemoval(await fixture.context('plan removal'), labels);
      expect(plan.labels.toSorted()).toEqual(labels.toSorted());
      expect(await labelsOf()).toEqual(before);
      await engine.remove(await fixture.context('removal'), plan.labels);
      expect((await labelsOf()).sort()).toEqual(before.filter((label) => !labels.includes(label)).sort());
      expect(
        (await filesBelow(fixture.directory)).filter((path) => labels.some((label) => path.includes(label))),
      ).toEqual([]);
      for (const backup of stays) {
        expect(
          await engine.verify(await fixture.context(`verify stays ${backup.label}`), asBackup(backup)),
        ).toMatchObject({ ok: true });
      }
      await engine.remove(await fixture.context('removal again'), plan.labels);
    });

    it('S3: what the engine cannot do is refused, and what it can is not refused for that', async () => {
      const candidates = (await backUp('for the outline')).map(asBackup);
      const databases = (await fixture.context('outline')).cluster.databases;
      for (const target of targets) {
        const context = await fixture.context('outline');
        const outlined = engine.outlineRecovery(context, { target, candidates, oldDataDir: null, databases });
        const code = await outlined.then(
          () => 'outlined',
          (error: { code?: string }) => error.code,
        );
        if (engine.capabilities.targets.includes(target.kind)) expect(code).not.toBe('capability-missing');
        else expect(`${target.kind}: ${code}`).toBe(`${target.kind}: capability-missing`);
      }
      for (const type of (['full', 'diff', 'incr'] as const).filter(
        (one) => !engine.capabilities.types.includes(one),
      )) {
        const context = await fixture.context(`type ${type}`);
        await expect(engine.backup(context, { type, startedAt: nextStart() })).rejects.toMatchObject({
          code: 'capability-missing',
        });
      }
      expect(engine.physical !== undefined).toBe(engine.capabilities.method === 'data-directory');
      expect(engine.logical !== undefined).toBe(engine.capabilities.method === 'databases');
    });

    it('S4, F35, F36: a restore has the content of the source at the backup, hostile names included', async () => {
      const source = await fixture.sourceContent();
      const made = await backUp('to be restored');
      await fixture.changeSource();
      expect(await fixture.sourceContent()).not.toEqual(source);
      expect(await fixture.restoreAndHash(await fixture.context('restore'), made.map(asBackup))).toEqual(source);
    });

    it('F3: a tool that is killed leaves nothing that is listed, and the next attempt makes the backup', async () => {
      const before = await labelsOf();
      const files = await filesBelow(fixture.directory);
      const release = await fixture.holdTool();
      undo.push(release);
      const startedAt = nextStart();
      const failed = backUp('killed', startedAt).then(
        () => null,
        (error: { code?: string }) => error.code,
      );
      process.kill(await toolOf(fixture.stateDir, 'killed'), 'SIGKILL');
      await release();
      expect(['tool-failed', 'tool-rejected']).toContain(await failed);
      // A backup of several parts may have finished some of them; nothing but whole ones is there.
      const listed = await labelsOf();
      const left = (await filesBelow(fixture.directory)).filter((file) => !files.includes(file) && !isWal(file));
      if (!fixture.keepsParts) expect(left.filter((file) => !listed.some((label) => file.includes(label)))).toEqual([]);

      const made = await backUp('killed', startedAt);
      expect(await startsOf('killed')).toBeGreaterThan(1);
      expect(made.every(({ label }) => listed.includes(label))).toBe(false);
      expect(
        listed.filter((label) => !before.includes(label) && !made.some((backup) => backup.label === label)),
      ).toEqual([]);
      for (const backup of made) {
        expect(await labelsOf()).toContain(backup.label);
        expect(await engine.verify(await fixture.context(`verify ${backup.label}`), asBackup(backup))).toMatchObject({
          ok: true,
        });
      }
    });

    if (recovers) recoveryContract(() => fixture);
  });
}

/** Pid of the tool an operation's job runs, as soon as there is one. */
export async function toolOf(stateDir: string, operationId: string): Promise<number> {
  let pid: number | null | undefined = null;
  await until(async () => {
    pid = (await readJobs(stateDir, operationId)).find((job) => job.state === 'running' && job.pid !== null)?.pid;
    return typeof pid === 'number';
  }, `operation ${operationId} has started a tool`);
  return Number(pid);
}

async function harm(path: string, damage: string): Promise<void> {
  const content = await readFile(path);
  const middle = Math.floor(content.length / 2);
  if (damage === 'truncation') return truncate(path, middle);
  if (damage === 'zero bytes') return truncate(path, 0);
  content.writeUInt8(content.readUInt8(middle) ^ 1, middle);
  await writeFile(path, content);
}

/** Every file below a directory with its hash, relative. */
async function filesBelow(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return Promise.all(files.map(async (path) => `${path.slice(directory.length + 1)} ${hashOf(await readFile(path))}`));
}

const hashOf = (content: Buffer): string => createHash('sha256').update(content).digest('hex');

async function openToOthers(directory: string): Promise<string[]> {
  const paths = (await readdir(directory, { recursive: true })).map((path) => join(directory, path));
  const modes = await Promise.all(paths.map(async (path) => ({ path, mode: (await stat(path)).mode })));
  return modes.filter(({ mode }) => (mode & 0o077) !== 0).map(({ path }) => path);
}
