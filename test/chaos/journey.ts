import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from '@jest/globals';
import type { BackupOutput, RecoverOutput, RotateOutput } from '../../src/workflows/api.js';
import type { StartedOperation } from '../../src/client/start.js';
import { Site } from '../helpers/site.js';
import type { Policy, SiteOptions } from '../helpers/site.js';
import type { Journey, Stage } from './cases.js';
import { Keeper } from './keeper.js';
import { minus, startsOf, startsOfJobs } from './tools.js';

/** What a journey measured, for the end of the run. */
export interface Measured {
  readonly kills: number;
  readonly attachSeconds: readonly number[];
}

/** Something that happens while a stage runs. */
export type Meanwhile = (work: StartedOperation, keeper: Keeper, site: Site) => Promise<void>;

/** Runs `fn` on a site of its own and clears it away, whatever happens. */
export async function onSite<T>(options: SiteOptions, fn: (site: Site) => Promise<T>): Promise<T> {
  const site = await Site.create(options);
  try {
    return await fn(site);
  } finally {
    await site.remove();
  }
}

/** One operation under a keeper: what it returns, and that nothing ran twice and nothing was left. */
export class Act {
  deaths = 0;
  readonly attachSeconds: number[] = [];

  constructor(
    readonly site: Site,
    readonly policy: Policy,
  ) {}

  async backup(crashAt: readonly string[] = [], meanwhile?: Meanwhile, again = 1): Promise<BackupOutput> {
    const type = this.policy === 'physical' ? 'full' : 'auto';
    return this.stage<BackupOutput>(
      'backup',
      crashAt,
      () => this.site.startBackup(this.policy, type),
      meanwhile,
      again,
    );
  }

  async rotate(crashAt: readonly string[] = []): Promise<RotateOutput> {
    return this.stage<RotateOutput>('rotate', crashAt, () => this.site.startRotation(this.policy));
  }

  /** Loses the instance where the engine recovers one, recovers, and compares every row with what was there. */
  async recover(
    expected: Readonly<Record<string, string>>,
    crashAt: readonly string[] = [],
    meanwhile?: Meanwhile,
    again = 1,
  ): Promise<RecoverOutput> {
    const { site, policy } = this;
    const start = async (): Promise<StartedOperation> => {
      if (policy === 'physical') await site.loseInstance('data');
      return site.recover(policy);
    };
    const both: Meanwhile = async (work, keeper) => {
      await site.approve(work);
      await meanwhile?.(work, keeper, site);
    };
    const output = await this.stage<RecoverOutput>('recover', crashAt, start, both, again);
    expect(output.state).toBe('completed');
    expect(await site.contentHash()).toEqual(expected);
    // Open for writes, and the identity column goes on where it was.
    await site.commit(1);
    return output;
  }

  private async stage<T>(
    stage: Stage,
    crashAt: readonly string[],
    start: () => Promise<StartedOperation>,
    meanwhile?: Meanwhile,
    again = 1,
  ): Promise<T> {
    const { site } = this;
    const before = await startsOf(site);
    const orphanedBefore = await dumpsWithoutSnapshot(site);
    const keeper = await Keeper.begin(site, `${this.policy}-${stage}-${this.deaths}`, crashAt);
    const work = await start();
    const [output] = await Promise.all([
      unlessPaused(site, work, site.result<T>(work)),
      meanwhile?.(work, keeper, site),
    ]);
    this.deaths += keeper.deaths;
    this.attachSeconds.push(...(await keeper.attachSeconds()));
    expect(keeper.missing()).toEqual([]);
    const jobs = await site.jobs(work.operationId);
    expect(jobs.filter(({ state }) => state !== 'succeeded')).toEqual([]);
    // By the supervisor's records, each tool once: `again` says how often the one that was killed itself.
    const orphaned = (await dumpsWithoutSnapshot(site)) - orphanedBefore;
    expect(jobs.map(({ starts }) => starts).filter((starts) => starts !== 1)).toEqual([
      ...(again === 1 ? [] : [again]),
      ...Array.from({ length: orphaned }, () => 2),
    ]);
    // And by the servers' own logs; a dump that lost its snapshot may not even have come to its first statement.
    const { dump, ...others } = minus(await startsOf(site), before);
    const { dump: dumps, ...expected } = startsOfJobs(jobs);
    expect(others).toEqual(expected);
    expect(dump).toBeLessThanOrEqual(dumps);
    expect(dump).toBeGreaterThanOrEqual(dumps - orphaned);
    await keeper.stop();
    expect(await site.leftovers()).toEqual({ processes: [], files: [], databases: [] });
    return output;
  }
}

/** The result, or a failure as soon as a step waits for a person: no kill may come to that. */
async function unlessPaused<T>(site: Site, work: StartedOperation, result: Promise<T>): Promise<T> {
  let over = false;
  const looking = (async (): Promise<string | null> => {
    while (!over && !site.isRemoved) {
      await sleep(500);
      const status = over ? null : await site.status(work).catch(() => null);
      if (status?.state === 'paused') return status.waitingFor;
    }
    return null;
  })();
  const paused = looking.then((waitingFor) => {
    if (waitingFor !== null) throw new Error(`${work.workflowId} waits for a person: ${waitingFor}`);
    return new Promise<never>(() => undefined);
  });
  try {
    return await Promise.race([result, paused]);
  } finally {
    over = true;
    // No call may be open when its connection is closed.
    await looking;
  }
}

/**
 * pg_dump imports a snapshot that its worker exports: one whose worker dies in the instant between its start and the
 * import ends by itself, and is started once more. Said by its own words only.
 */
async function dumpsWithoutSnapshot(site: Site): Promise<number> {
  const jobs = join(site.places.stateDir, 'jobs');
  const names = (await readdir(jobs, { recursive: true }).catch(() => [] as string[])).filter((name) =>
    /dump-mairie[^/]*\/1\/stderr$/.test(name),
  );
  const texts = await Promise.all(names.map((name) => readFile(join(jobs, name), 'utf8')));
  return texts.filter((text) => /invalid snapshot identifier|could not import the requested snapshot/.test(text))
    .length;
}

/** Backup, rotation and recovery on one site, with the kills of the journey. */
export async function travel({ policy, kills }: Journey): Promise<Measured> {
  return onSite({ retention: '{ days: 14, min_proven: 1 }' }, async (site) => {
    const act = new Act(site, policy);
    const at = (stage: Stage, labels: Readonly<Record<string, string>> = {}): string[] =>
      kills
        .filter((kill) => kill.stage === stage)
        .map((kill) => Object.entries(labels).reduce((text, [name, label]) => text.replace(name, label), kill.at));

    const rotates = at('rotate').length > 0;
    const oldest = rotates ? labelOf(await act.backup()) : '';
    await site.commit(20);
    const dumped = await site.contentHash();
    const newest = labelOf(await act.backup(at('backup')));
    expect(await labels(site, policy)).toEqual(rotates ? [oldest, newest] : [newest]);
    if (rotates) {
      await site.configure({ retention: '{ count: 1, min_proven: 1 }' });
      const { removed } = await act.rotate(at('rotate', { OLDEST: oldest }));
      expect(removed).toEqual([expect.stringContaining(oldest)]);
      expect(await labels(site, policy)).toEqual([newest]);
    }
    await site.commit(30);
    const committed = await site.contentHash();
    // Dumps know nothing of what came after them; WAL does.
    await act.recover(policy === 'dump' ? dumped : committed, at('recover', { NEWEST: newest }));
    return { kills: act.deaths, attachSeconds: act.attachSeconds };
  });
}

export function labelOf({ backups, skipped }: BackupOutput): string {
  const [made] = backups;
  if (made === undefined || backups.length !== 1)
    throw new Error(`not one backup: ${JSON.stringify({ backups, skipped })}`);
  return made.label;
}

/** Labels as a worker lists them, oldest first. */
export async function labels(site: Site, policy: Policy): Promise<string[]> {
  const worker = await site.startWorker();
  const listed = (await site.backups()).filter((backup) => backup.policy === policy && backup.status === 'complete');
  await worker.stop();
  return listed.map(({ label }) => label);
}
