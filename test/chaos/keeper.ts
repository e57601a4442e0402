import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Site } from '../helpers/site.js';
import type { SiteWorker } from '../helpers/site-worker.js';

const SOON_MS = 2500;
const LATER_MS = 14_000;

/** Keeps one worker alive, as systemd would: one that was killed is started again at once. */
export class Keeper {
  deaths = 0;
  private stopping = false;
  private current: SiteWorker | undefined;
  private watching: Promise<void> = Promise.resolve();
  private failure: Error | undefined;
  private readonly polledAt = new Map<number, number>();

  private constructor(
    private readonly site: Site,
    private readonly crashAt: readonly string[],
    private readonly marks: string,
  ) {}

  /** @param name tells the marks of this keeper's crashes from those of another */
  static async begin(site: Site, name: string, crashAt: readonly string[] = []): Promise<Keeper> {
    const keeper = new Keeper(site, crashAt, join(site.root, `crash-${name}`));
    await keeper.start();
    keeper.watching = keeper.watch();
    return keeper;
  }

  /** Keeps a worker while `fn` runs, and no longer where it fails. */
  static async during<T>(
    site: Site,
    name: string,
    crashAt: readonly string[],
    fn: (keeper: Keeper) => Promise<T>,
  ): Promise<T> {
    const keeper = await Keeper.begin(site, name, crashAt);
    try {
      const result = await fn(keeper);
      await keeper.stop();
      return result;
    } catch (error) {
      await keeper.stop().catch(() => undefined);
      throw error;
    }
  }

  get worker(): SiteWorker {
    if (this.current === undefined) throw new Error('no worker was started');
    return this.current;
  }

  /**
   * Kills of the list that have not happened. A second one at the same tool may find its work done: the tool went on
   * while no worker was there, and the next one had nothing left to watch.
   */
  missing(): readonly string[] {
    const toolOf = (point: string) => (point.startsWith('job:') ? point.split('@')[1] : undefined);
    const isSecond = (point: string, place: number) =>
      toolOf(point) !== undefined && this.crashAt.findIndex((other) => toolOf(other) === toolOf(point)) < place;
    return this.crashAt.filter((point, place) => !existsSync(`${this.marks}.${place}`) && !isSecond(point, place));
  }

  /** Kills the worker and starts no other until `resume`: the machine is down. */
  async halt(): Promise<void> {
    this.stopping = true;
    await this.worker.kill();
    await this.watching;
    this.deaths++;
  }

  /** Stops the worker as an operator does, and starts another one after a while. */
  async rest(meanwhile: () => Promise<void>): Promise<void> {
    this.stopping = true;
    await this.worker.stop();
    await this.watching;
    await meanwhile();
    await this.resume();
  }

  async resume(): Promise<void> {
    this.stopping = false;
    await this.start();
    this.watching = this.watch();
  }

  /** Stops the worker by SIGTERM. Throws where one ended otherwise than by a kill. */
  async stop(): Promise<void> {
    this.stopping = true;
    if (this.current !== undefined) await this.current.stop();
    await this.watching;
    if (this.failure !== undefined) throw this.failure;
  }

  /**
   * Kills workers at random instants, until the work ends or it is enough: the first one soon, for a small site is
   * quick; the others also after the heartbeat time-out, when the work goes on.
   */
  async killAtRandom(times: number, random: () => number, done: () => boolean): Promise<number> {
    let killed = 0;
    while (killed < times && !done()) {
      const { worker } = this;
      await worker.polls();
      await sleep(random() * (killed === 0 ? SOON_MS : LATER_MS));
      if (done()) break;
      await worker.kill();
      killed++;
      while (this.current === worker) await sleep(10);
    }
    return killed;
  }

  /** Seconds from a worker's first poll to the instant at which it took up a job that another had left. */
  async attachSeconds(): Promise<number[]> {
    const jobs = join(this.site.places.stateDir, 'jobs');
    const names = await readdir(jobs, { recursive: true }).catch(() => [] as string[]);
    const found: number[] = [];
    for (const name of names.filter((one) => one.endsWith('/attempts'))) {
      const attempts = (await readFile(join(jobs, name), 'utf8'))
        .trim()
        .split('\n')
        .map((line) => line.split(' '));
      for (const [at, pid] of attempts.slice(1)) {
        const polled = this.polledAt.get(Number(pid));
        if (at !== undefined && polled !== undefined) found.push((Date.parse(at) - polled) / 1000);
      }
    }
    return found;
  }

  private async start(): Promise<void> {
    const env: Record<string, string> =
      this.crashAt.length === 0 ? {} : { REPRISE_CRASH_AT: this.crashAt.join(','), REPRISE_CRASH_ONCE: this.marks };
    const worker = await this.site.startWorker(env, { polls: false });
    this.current = worker;
    await worker.polls();
    if (this.deaths > 0) this.polledAt.set(worker.pid, Date.now());
  }

  private async watch(): Promise<void> {
    for (;;) {
      const how = await this.worker.exited();
      if (this.stopping) return;
      if (how !== 'SIGKILL') {
        this.failure = new Error(`a worker ended by itself: ${how}`);
        return;
      }
      this.deaths++;
      try {
        await this.start();
      } catch (error) {
        this.failure = error instanceof Error ? error : new Error(String(error));
        return;
      }
    }
  }
}
