/** Drills whose worker, tools, server or Temporal are killed: a site with a staging directory of its own, and one drill after another on it. */
import { execFile } from 'node:child_process';
import { mkdir, readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { expect } from '@jest/globals';
import { signOff } from '../../src/client/decide.js';
import { type StartedOperation, startDrill } from '../../src/client/start.js';
import type { DrillOutcome } from '../../src/domain/drill/drill.js';
import type { DrillOrder } from '../../src/domain/operation/orders.js';
import { stagingTablespaces } from '../../src/postgres/server/staging-place.js';
import { openCatalogueForReading } from '../../src/records/catalogue.js';
import { verifyEvidence } from '../../src/records/evidence/verify.js';
import { openOperationLedger } from '../../src/records/operation-ledger.js';
import { openTemporaryInstances } from '../../src/records/temporary-instances.js';
import { openDirectory } from '../../src/storage/directory/directory-storage.js';
import type { DrillOutput } from '../../src/workflows/api.js';
import { freePorts } from '../helpers/ports.js';
import { giveToPostgres } from '../helpers/postgres-user.js';
import { editConfig } from '../helpers/site-cli.js';
import { Site } from '../helpers/site.js';
import type { Policy, SiteOptions } from '../helpers/site.js';
import { Keeper } from './keeper.js';

/** Something that happens while a drill runs; `over`: it has ended. */
export type DuringDrill = (work: StartedOperation, keeper: Keeper, over: AbortSignal) => Promise<void>;

/** How a drill is met, and what it has to come to all the same. */
export interface MetDrill {
  readonly order?: DrillOrder;
  /** As `REPRISE_CRASH_AT` takes it; each once. */
  readonly crashAt?: readonly string[];
  readonly during?: DuringDrill;
}

/** What a drill must leave as it was. */
export type Production = Readonly<Record<string, unknown>>;

/** A site with drills: its cluster was backed up once by each policy, and its staging directory is empty. */
export class DrillSite {
  private keepers = 0;

  private constructor(
    readonly site: Site,
    readonly staging: string,
    readonly port: number,
    private readonly publicKey: string,
  ) {}

  /** @param checksYaml further checks, indented by six */
  static async create(
    options: SiteOptions = {},
    checksYaml: (root: string, staging: string) => string = () => '',
  ): Promise<DrillSite> {
    const [port] = (await freePorts(1)) as [number];
    const site = await Site.create(options);
    const home = join(site.root, 'staging-host');
    await mkdir(home, { mode: 0o700 });
    await giveToPostgres(home);
    const key = join(site.root, 'evidence_key');
    await promisify(execFile)('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
    const staging = join(home, 'staging');
    const drill = `host: db1, allow_same_host: true, data_dir: ${staging}, port: ${port}, engines: [pgbackrest, dump], sign_off: { by: [qa], within: 1h }`;
    await editConfig(site, (text) =>
      text
        .replace('contacts:\n', `    drill: { ${drill} }\ncontacts:\n  qa: { mail: [qa@example.org] }\n`)
        .replace('    checks:\n', `    checks:\n${checksYaml(site.root, staging)}`)
        .concat(`evidence: { signing_key: ${key} }\n`),
    );
    const worker = await site.startWorker();
    await site.backUp('physical', 'full');
    await site.backUp('dump');
    await worker.stop();
    return new DrillSite(site, staging, port, await readFile(`${key}.pub`, 'utf8'));
  }

  /** What the repository's records say, without a worker. */
  recorded() {
    const { site } = this;
    return openCatalogueForReading(openDirectory({ path: site.places.backupsDir }), site.cluster).state();
  }

  async newest(policy: Policy) {
    const newest = (await this.recorded()).backups.findLast((backup) => backup.policy === policy);
    if (newest === undefined) throw new Error(`${policy} has no backup`);
    return newest;
  }

  async production(): Promise<Production> {
    const { site } = this;
    const { rows } = await site.query(
      `SELECT (SELECT json_agg(s) FROM (SELECT slot_name, active FROM pg_replication_slots ORDER BY 1) s) AS slots,
              (SELECT failed_count FROM pg_stat_archiver)::int AS failed,
              (SELECT last_archived_wal FROM pg_stat_archiver) AS archived,
              (SELECT json_agg(datname ORDER BY datname) FROM pg_database) AS databases,
              pg_is_in_recovery() AS recovery, pg_postmaster_start_time()::text AS since`,
    );
    return { ...(rows[0] as object), content: await site.contentHash() };
  }

  start(order: DrillOrder = {}): Promise<StartedOperation> {
    const { session, cluster } = this.site;
    return startDrill(session, { cluster, requester: 'test', order });
  }

  /** Signs off as soon as it is waited for, over deaths of workers, until the drill has ended. */
  async signOffWhenAsked(work: StartedOperation, verdict: 'pass' | 'fail' = 'pass', over?: AbortSignal): Promise<void> {
    const { site } = this;
    while (over?.aborted !== true) {
      try {
        if ((await work.handle.describe()).status.name !== 'RUNNING') return;
        const { state, waitingFor } = await site.status(work);
        if (state === 'paused') throw new Error(`${work.workflowId} waits for a person: ${waitingFor}`);
        if (state === 'waiting-sign-off')
          return await signOff(site.session, work.workflowId, { verdict, by: 'qa', remarks: 'looked at' });
      } catch (error) {
        if (site.isRemoved || (error instanceof Error && error.message.includes('waits for a person'))) throw error;
      }
      await sleep(200);
    }
  }

  /** One drill that is met by whatever there is, and has to pass: nothing is sealed twice, and nothing is left. */
  async passes({ order, crashAt = [], during }: MetDrill): Promise<{ deaths: number; outcome: DrillOutcome }> {
    const { site } = this;
    const before = await this.production();
    const { work, outcome, deaths } = await this.withKeeper(crashAt, async (keeper) => {
      const started = await this.start(order);
      const over = new AbortController();
      const ended = site.result<DrillOutput>(started).finally(() => over.abort());
      const [output] = await Promise.all([
        ended,
        this.signOffWhenAsked(started, 'pass', over.signal),
        during?.(started, keeper, over.signal),
      ]);
      expect(keeper.missing()).toEqual([]);
      return { work: started, outcome: output.outcome, deaths: keeper.deaths };
    });
    expect(outcome).toMatchObject({ verdict: 'pass', reason: null, signOff: { by: 'qa', verdict: 'pass' } });
    const { drills, register } = await this.recorded();
    expect(drills.filter(({ drillId }) => drillId === work.operationId)).toHaveLength(1);
    expect(register.filter(({ drillId }) => drillId === work.operationId)).toEqual([]);
    await this.requireSealed();
    await this.requireNothingLeft();
    expect(await this.production()).toEqual(before);
    return { deaths, outcome };
  }

  withKeeper<T>(crashAt: readonly string[], fn: (keeper: Keeper) => Promise<T>): Promise<T> {
    return Keeper.during(this.site, `drill-${this.keepers++}`, crashAt, fn);
  }

  /** All evidence is whole, signed, and in the chain once: that of each drill that has a record. */
  async requireSealed(): Promise<void> {
    const { drills } = await this.recorded();
    if (drills.length === 0) return;
    const verified = await verifyEvidence(join(this.site.places.backupsDir, 'mairie', 'evidence'), this.publicKey);
    expect(verified).toMatchObject({ ok: true, problems: [] });
    expect(verified.drills.map(({ sequence }) => sequence)).toEqual(drills.map((_, index) => index + 1));
    expect(verified.drills.map(({ drill }) => drill).sort()).toEqual(drills.map(({ drillId }) => drillId).sort());
  }

  /** No process, file, place, pin or claim; waits for what a sweep at the start of a worker does. */
  async requireNothingLeft(): Promise<void> {
    const { site, staging } = this;
    const { stateDir } = site.places;
    const look = async () => ({
      ...(await site.leftovers()),
      staging: await readdir(staging).catch(() => []),
      tablespaces: await readdir(stagingTablespaces(staging)).catch(() => []),
      beside: (await readdir(join(staging, '..'))).filter((name) => !/^\.?staging(\.|$)/.test(name)),
      places: (await openTemporaryInstances(stateDir).all()).map(({ dataDir }) => dataDir),
      operations: (await openOperationLedger(stateDir).open(site.cluster)).map(({ operationId }) => operationId),
      pins: [...(await this.recorded()).pins.keys()],
    });
    const isEmpty = (found: Awaited<ReturnType<typeof look>>): boolean =>
      Object.values(found).every((some) => some.length === 0);
    let found = await look();
    for (const limit = Date.now() + 600_000; !isEmpty(found) && Date.now() < limit; await sleep(200))
      found = await look();
    expect(Object.fromEntries(Object.entries(found).filter(([, some]) => some.length > 0))).toEqual({});
  }
}
