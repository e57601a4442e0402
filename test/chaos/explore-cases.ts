/** What is done to temporary instances that people look at, and to searches: production is as it was, and nothing is left. */
import { expect } from '@jest/globals';
import { type StartedOperation, startExploration, startLocate } from '../../src/client/start.js';
import { queryNames, updateNames } from '../../src/domain/operation/names.js';
import type { ExploreOutput, ExploreView, LocateOutput } from '../../src/workflows/api.js';
import { runQuery } from '../helpers/postgres.js';
import type { Site } from '../helpers/site.js';
import { type Journey, locateKills } from './cases.js';
import { type Measured, onSite } from './journey.js';
import { Keeper } from './keeper.js';
import { type Facts, missed, productionOf, requireNothingLeft, requireSame } from './leavings.js';

const killed = (kills: number): Measured => ({ kills, attachSeconds: [] });
const table = { schema: 'metier', table: 'demandes_rdv' };

/** A site with backups, and a transaction that damages its table between two of them. */
export class ExploredSite {
  private keepers = 0;
  private constructor(
    readonly site: Site,
    /** Of the transaction that deletes rows. */
    readonly xid: string,
    private readonly before: Facts,
  ) {}

  static async prepare(site: Site): Promise<ExploredSite> {
    const worker = await site.startWorker();
    for (const policy of ['dump', 'physical'] as const) await site.backUp(policy);
    await site.commit(5);
    const { rows } = await site.query(
      `WITH gone AS (DELETE FROM metier.demandes_rdv WHERE id % 4 = 0 RETURNING id)
         SELECT pg_current_xact_id()::text AS xid, (SELECT count(*) FROM gone)`,
    );
    await site.commit(5);
    await site.backUp('physical');
    await worker.stop();
    return new ExploredSite(site, (rows[0] as { xid: string }).xid, await productionOf(site));
  }

  start(policy: Journey['policy'], ttlSeconds = 3600): Promise<StartedOperation> {
    const { session, cluster } = this.site;
    const target = policy === 'dump' ? { kind: 'latest' as const } : { kind: 'before-xid' as const, xid: this.xid };
    return startExploration(session, { cluster, requester: 'test', order: { target, policy, ttlSeconds } });
  }

  locate(): Promise<StartedOperation> {
    const { session, cluster } = this.site;
    const condition = { kind: 'key' as const, column: 'id', value: '4' };
    return startLocate(session, { cluster, requester: 'test', order: { database: 'mairie', table, condition } });
  }

  /** Waits until it runs, over deaths of workers. */
  opened(work: StartedOperation): Promise<ExploreView> {
    return this.site.waitFor(async () => {
      const view = await work.handle.query<ExploreView>(queryNames.instance);
      return view.instance === null ? null : view;
    }, 'the temporary instance runs');
  }

  /** Rows of the damaged table, as people see them. */
  async rowsIn({ instance }: ExploreView): Promise<number> {
    const { socketDir = '', port = 0, user = '' } = instance ?? {};
    const address = { host: socketDir, port, user, socketDir };
    const { rows } = await runQuery(
      address,
      'mairie',
      'SELECT count(*)::int AS n FROM metier.demandes_rdv WHERE id <= 3000',
    );
    return (rows[0] as { n: number }).n;
  }

  withKeeper<T>(crashAt: readonly string[], fn: (keeper: Keeper) => Promise<T>): Promise<T> {
    return Keeper.during(this.site, `explore-${this.keepers++}`, crashAt, fn);
  }

  async requireAsBefore(how?: 'terminated' | 'cancelled'): Promise<void> {
    await requireNothingLeft(this.site, how);
    await requireSame(() => productionOf(this.site), this.before);
  }
}

export function onExploredSite<T>(fn: (on: ExploredSite) => Promise<T>): Promise<T> {
  return onSite({}, async (site) => fn(await ExploredSite.prepare(site)));
}

/** People look at an instance, move it, keep it longer and drop it, with the kills of the journey. */
export async function travelExplore(on: ExploredSite, { policy, kills }: Journey): Promise<Measured> {
  const { site } = on;
  const crashAt = kills.map(({ at }) => at);
  const deaths = await on.withKeeper(crashAt, async (keeper) => {
    const work = await on.start(policy);
    const by = { by: 'test' };
    expect(await on.rowsIn(await on.opened(work))).toBe(3000);
    if (policy !== 'dump') {
      const args: [object] = [{ ...by, to: `xid:${on.xid}` }];
      expect(
        await on.rowsIn(await work.handle.executeUpdate<ExploreView, [object]>(updateNames.moveInstance, { args })),
      ).toBe(2250);
    }
    const view = await work.handle.executeUpdate<ExploreView, [object]>(updateNames.extendInstance, {
      args: [{ ...by, ttl: '2h' }],
    });
    expect(Date.parse(view.instance?.expiresAt ?? '')).toBeGreaterThan(Date.now() + 3_600_000);
    await work.handle.executeUpdate(updateNames.dropInstance, { args: [by] });
    expect(await site.result<ExploreOutput>(work)).toEqual({ ended: 'dropped', by: 'test' });
    expect(await missed(work, keeper.missing())).toEqual([]);
    return keeper.deaths;
  });
  await on.requireAsBefore();
  return killed(deaths);
}

/** A search with the kills of the journey: it finds what it finds without them. */
export async function travelLocate(on: ExploredSite, { kills }: Journey): Promise<Measured> {
  const deaths = await on.withKeeper(
    kills.map(({ at }) => at),
    async (keeper) => {
      const work = await on.locate();
      const found = await on.site.result<LocateOutput>(work);
      expect(found).toMatchObject({ state: 'transaction', transaction: { xid: on.xid } });
      expect(await missed(work, keeper.missing())).toEqual([]);
      return keeper.deaths;
    },
  );
  await on.requireAsBefore();
  return killed(deaths);
}

/** The time of an instance ends while no worker runs: the next one removes it, and the workflow ends as if nothing had been. */
export async function expireAlone(on: ExploredSite, policy: Journey['policy']): Promise<Measured> {
  const { site } = on;
  const worker = await site.startWorker();
  const work = await on.start(policy, 60);
  const { instance } = await on.opened(work);
  await worker.kill();
  const until = Date.parse(instance?.expiresAt ?? '');
  expect(until).toBeGreaterThan(0);
  await site.waitFor(async () => Date.now() > until, 'its time is over');
  const next = await site.startWorker();
  expect(await site.result<ExploreOutput>(work)).toEqual({ ended: 'expired', by: null });
  await on.requireAsBefore();
  await next.stop();
  return killed(1);
}

/** Where an exploration, and a search, is left alone by its worker. */
export const exploreLeftAt: readonly string[] = ['planInstance', 'openInstance'].flatMap(beforeAndAfter);
export const locateLeftAt: readonly string[] = locateKills.map(({ at }) => at).filter((at) => at.endsWith(':after'));

function beforeAndAfter(step: string): readonly string[] {
  return ['before', 'after'].map((when) => `activity:${step}:${when}`);
}

/** Terminated or cancelled after its worker has died at a point: the next worker removes what there is. */
export async function endAlone(
  on: ExploredSite,
  start: () => Promise<StartedOperation>,
  points: readonly string[],
  how: 'terminated' | 'cancelled',
): Promise<Measured> {
  const { site } = on;
  let kills = 0;
  for (const point of points) {
    const work = await start();
    const worker = await site.startWorker({ REPRISE_CRASH_AT: point });
    const ended = site.result(work).then(
      () => 'ended',
      () => 'ended',
    );
    const died = await Promise.race([worker.exited(), ended]);
    if (died === 'SIGKILL') {
      kills++;
      await (how === 'terminated' ? work.handle.terminate('chaos') : work.handle.cancel());
    }
    await worker.kill();
    const next = await site.startWorker();
    await ended;
    await on.requireAsBefore(how);
    await next.stop();
  }
  return killed(kills);
}

/** Terminated while its worker runs on: the sweep of that very worker removes it. */
export async function terminateBeside(on: ExploredSite, policy: Journey['policy']): Promise<Measured> {
  const { site } = on;
  const worker = await site.startWorker();
  const work = await on.start(policy);
  await on.opened(work);
  await work.handle.terminate('chaos');
  await on.requireAsBefore('terminated');
  await worker.stop();
  return killed(0);
}
