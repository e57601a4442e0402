import { existsSync } from 'node:fs';
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { TerminatedFailure, WorkflowFailedError } from '@temporalio/client';
import type { WorkflowHandle } from '@temporalio/client';
import type { BackupType } from '../../src/domain/backup/backup.js';
import { queryNames } from '../../src/domain/operation/names.js';
import type { Plan } from '../../src/domain/plan/plan.js';
import type { JobView } from '../../src/domain/operation/progress.js';
import type { OperationStatusView } from '../../src/domain/operation/status.js';
import type { RecoveryTarget } from '../../src/domain/target/target.js';
import { runInspection } from '../../src/client/inspect.js';
import type { TemporalSession } from '../../src/client/connect.js';
import { approve } from '../../src/client/decide.js';
import { startBackup, startRecovery, startRotation } from '../../src/client/start.js';
import type { StartedOperation } from '../../src/client/start.js';
import { readPostmaster } from '../../src/postgres/server/postmaster.js';
import { readJobs } from '../../src/process/jobs/supervisor.js';
import { STRAY_FAILURE } from '../../src/worker/stray-failures.js';
import type { BackupOutput, RecoverOutput, RotateOutput } from '../../src/workflows/api.js';
import { contentOf } from '../contract/engine-fixture.js';
import { onCleanup } from './cleanup.js';
import { reprise } from './cli.js';
import type { CliResult } from './cli.js';
import { makeTempDir } from './make-temp-dir.js';
import { freePair } from './ports.js';
import { runQuery } from './postgres.js';
import type { ServerAddress } from './postgres.js';
import { Reaper } from './reaper.js';
import { killAll, processesOf, withDescendants } from './site-processes.js';
import type { Leftovers, SiteProcess } from './site-processes.js';
import { isOutage, openNamespace, sharedTemporal } from './site-session.js';
import { pause } from './until.js';
import { configure, layOut, pgCtl, placesIn } from './site-template.js';
import type { SiteConfig, SitePlaces } from './site-template.js';
import { SiteWorker } from './site-worker.js';
import { archiveSegment, closeSegment } from './wal-segment.js';

export type Policy = 'dump' | 'physical' | 'base';
/** The server killed; its data files gone too and the WAL still there; everything gone. */
export type Loss = 'killed' | 'data' | 'all';

export interface SiteOptions extends Partial<SiteConfig> {
  /** A Temporal server of the test's own; the shared one by default. The site gets a namespace of its own on it. */
  readonly address?: string;
  /** What its Temporal namespace is called; of the site's own by default. */
  readonly namespace?: string;
}

interface StartedWorker {
  readonly polls?: boolean;
  readonly host?: string;
  readonly configFile?: string;
  /** `main.js` of another build. */
  readonly program?: string;
}

/**
 * One organisation in small, removed at the end of the test file: a PostgreSQL cluster that archives to pgBackRest, a
 * repository, a reprise.yml with the policies `dump` and `physical`, and a Temporal namespace. Workers are processes.
 */
export class Site {
  readonly cluster = 'mairie';
  readonly server: ServerAddress;
  readonly workers: SiteWorker[] = [];
  private readonly reaper = new Reaper();
  private readonly asked = new Set<Promise<unknown>>();
  private removed = false;

  private constructor(
    readonly places: SitePlaces,
    readonly binDir: string,
    private readonly config: SiteConfig,
    public session: TemporalSession,
  ) {
    const { port, socketDir, root } = places;
    this.server = { host: '127.0.0.1', port, user: 'postgres', socketDir };
    this.reaper.directory(root);
  }

  static async create(options: SiteOptions = {}): Promise<Site> {
    const root = await makeTempDir('site');
    // The next one is that of what is recovered beside.
    const places = placesIn(root, await freePair());
    const config = {
      retention: '{ days: 14, min_proven: 1 }',
      proof: 'verify' as const,
      watch: false,
      clusterYaml: '',
      policiesYaml: '',
      ...options,
    };
    const { binDir } = await layOut(places, config);
    const session = await openNamespace(
      options.address ?? sharedTemporal(),
      options.namespace ?? root.slice(root.lastIndexOf('/') + 1),
    );
    const site = new Site(places, binDir, config, session);
    onCleanup(() => site.remove());
    await site.startServer();
    return site;
  }

  get isRemoved(): boolean {
    return this.removed;
  }

  get root(): string {
    return this.places.root;
  }

  /** Changes reprise.yml; workers read it when they start. */
  configure(change: Partial<SiteConfig>): Promise<void> {
    return configure(this.places, { ...this.config, ...change });
  }

  /** Goes over to another Temporal server, as a new one with nothing in it. */
  async moveTo(address: string): Promise<void> {
    await this.session.close();
    this.session = await openNamespace(address, this.session.settings.namespace);
  }

  // --- PostgreSQL

  /** @param binDir programs of another version than the site began with */
  async startServer(binDir = this.binDir): Promise<void> {
    const { dataDir, socketDir, port } = this.places;
    // A postmaster that was killed stays a zombie where process 1 collects nobody, and pg_ctl takes its pid for alive.
    if ((await readPostmaster(dataDir))?.alive === false) {
      for (const lock of [join(dataDir, 'postmaster.pid'), join(socketDir, `.s.PGSQL.${port}.lock`)])
        await rm(lock, { force: true });
    }
    await pgCtl(binDir, dataDir, 'start', '--log', `${dataDir}.log`);
    const postmaster = await readPostmaster(dataDir);
    if (postmaster) this.reaper.process(postmaster.pid);
  }

  query(sql: string, database = 'mairie'): ReturnType<typeof runQuery> {
    return runQuery(this.server, database, sql);
  }

  /** Commits new rows, numbered by the identity column; returns how many there are then. */
  async commit(rows = 10): Promise<number> {
    await this.query(
      `INSERT INTO metier.demandes_rdv (commune, pris_le, motif) SELECT '00001', now(), 'committed ' || n FROM generate_series(1, ${rows}) n`,
    );
    const { rows: counted } = await this.query('SELECT count(*)::int AS n FROM metier.demandes_rdv');
    return (counted[0] as { n: number }).n;
  }

  /** Closes the WAL segment being written, whatever was written; returns its name. */
  closeSegment(): Promise<string> {
    return closeSegment(this.server);
  }

  /** The same, and waits until the server has archived it. */
  archiveSegment(): Promise<string> {
    return archiveSegment(this.server);
  }

  /**
   * Hashes of all that the database holds: rows of every table, large objects, settings, owner. Sequences are left out:
   * a server that was killed takes up to 32 numbers further on.
   */
  async contentHash(database = 'mairie'): Promise<Record<string, string>> {
    const content = (await contentOf(this.server, () => database, ['mairie']))['mairie'] ?? {};
    return Object.fromEntries(Object.entries(content).filter(([what]) => what !== 'sequences'));
  }

  /** Loses the instance for real: SIGKILL under way, then the files. Returns when no backend lives. */
  async loseInstance(kind: Loss): Promise<void> {
    const { dataDir } = this.places;
    const postmaster = await readPostmaster(dataDir);
    if (postmaster?.alive !== true) throw new Error('there is no server to lose');
    const family = await withDescendants(postmaster.pid);
    const alive = (): SiteProcess[] => processesOf(this.root).filter(({ pid }) => family.has(pid));
    process.kill(postmaster.pid, 'SIGKILL');
    await killAll(alive);
    if (kind === 'data') for (const part of ['base', 'global']) await rm(join(dataDir, part), { recursive: true });
    if (kind === 'all') await rm(dataDir, { recursive: true });
  }

  // --- Workers and work

  /** A worker process; `polls: false` returns without waiting for it to ask for work. `host`, `configFile`: of another host. */
  async startWorker(
    env: Readonly<Record<string, string>> = {},
    { polls = true, host = 'db1', configFile = this.places.configFile, ...program }: StartedWorker = {},
  ): Promise<SiteWorker> {
    const worker = SiteWorker.start(
      { configFile, logFile: this.workerLog, session: this.session, host, ...program },
      env,
    );
    this.workers.push(worker);
    this.reaper.process(worker.pid);
    if (polls) await worker.polls();
    return worker;
  }

  get workerLog(): string {
    return join(this.root, 'worker.log');
  }

  /** The command line on this site, e.g. `site.cli('backup', 'list', '--json')`. */
  cli(...argv: readonly string[]): Promise<CliResult> {
    return reprise([...this.globals(), ...argv]);
  }

  /** The same at a terminal that is so wide. */
  cliAt(columns: number, ...argv: readonly string[]): Promise<CliResult> {
    return reprise([...this.globals(), '--color', 'never', ...argv], { columns });
  }

  private globals(): string[] {
    const { address, namespace } = this.session.settings;
    return ['--config', this.places.configFile, '--address', address, '--namespace', namespace];
  }

  startBackup(policy: Policy, type: BackupType | 'auto' = 'auto'): Promise<StartedOperation> {
    return startBackup(this.session, { cluster: this.cluster, requester: 'test', order: { policy, type } });
  }

  /** Backs up and waits; needs a worker. */
  async backUp(policy: Policy, type: BackupType | 'auto' = 'auto'): Promise<BackupOutput> {
    return this.result<BackupOutput>(await this.startBackup(policy, type));
  }

  startRotation(policy: Policy): Promise<StartedOperation> {
    return startRotation(this.session, { cluster: this.cluster, requester: 'test', order: { policy } });
  }

  async rotate(policy: Policy): Promise<RotateOutput> {
    return this.result<RotateOutput>(await this.startRotation(policy));
  }

  /** Starts a recovery; it plans and waits for {@link approve}. */
  recover(
    policy: Policy | undefined,
    target: RecoveryTarget = { kind: 'latest' },
    into = 'in-place',
    pause = false,
  ): Promise<StartedOperation> {
    return startRecovery(this.session, {
      cluster: this.cluster,
      requester: 'test',
      order: { policy, target, into, pause },
    });
  }

  /** Waits for the plan and approves it, over deaths of workers. */
  async approve(work: StartedOperation, by = 'dba'): Promise<Plan> {
    const plan = await this.waitFor(
      async () => work.handle.query<Plan | null>(queryNames.plan),
      `${work.workflowId} has a plan`,
    );
    await this.waitFor(
      async () => approve(this.session, work.workflowId, { plan: plan.digest.slice(0, 12), by, reason: 'test' }),
      'the approval is accepted',
    );
    return plan;
  }

  async recovered(work: StartedOperation): Promise<RecoverOutput> {
    return this.result<RecoverOutput>(work);
  }

  /** The workflow's result, over restarts of the Temporal server and over Resets. */
  result<T>({ handle }: { handle: WorkflowHandle }): Promise<T> {
    const answer = this.resultOf<T>(handle.workflowId);
    this.asked.add(answer);
    return answer;
  }

  private async resultOf<T>(workflowId: string): Promise<T> {
    const handle = (): WorkflowHandle => this.session.client.workflow.getHandle(workflowId);
    const run = (): Promise<string> =>
      this.waitFor(async () => (await handle().describe()).runId, `${workflowId} is described`);
    for (;;) {
      const before = await run();
      try {
        return (await handle().result()) as T;
      } catch (error) {
        const reset =
          error instanceof WorkflowFailedError && error.cause instanceof TerminatedFailure && (await run()) !== before;
        if (this.removed || (!reset && (error instanceof WorkflowFailedError || !isOutage(error)))) throw error;
        await sleep(200);
      }
    }
  }

  async status(work: StartedOperation): Promise<OperationStatusView> {
    return work.handle.query<OperationStatusView>(queryNames.status);
  }

  /** Asks until there is an answer: workers and servers may die meanwhile. The limit only ends a failing test. */
  async waitFor<T>(look: () => Promise<T | null | undefined | false>, what: string, limitMs = 600_000): Promise<T> {
    let last: unknown;
    const since = Date.now();
    for (
      const limit = since + limitMs;
      Date.now() < limit && !this.removed;
      await pause(since, { least: 50, most: 300 })
    ) {
      try {
        const found = await look();
        if (found !== null && found !== undefined && found !== false) return found;
      } catch (error) {
        last = error;
      }
    }
    throw new Error(`waited in vain until ${what}\n${await this.tailOfLog()}`, { cause: last });
  }

  async backups() {
    return (await runInspection<'backups'>(this.session, { kind: 'backups', cluster: this.cluster })).backups;
  }

  /** Jobs of an operation (and of those it started itself, `<operation>/fresh` and so on), with how often each was started. */
  async jobs(operationId: string): Promise<JobView[]> {
    return (
      await Promise.all(['', '/safety', '/fresh'].map((part) => readJobs(this.places.stateDir, operationId + part)))
    ).flat();
  }

  // --- What is left

  /** What no finished operation may leave: processes, incoming files, scratch directories, databases beside the live one. */
  async leftovers(): Promise<Leftovers> {
    const { dataDir, backupsDir, stateDir } = this.places;
    const postmaster = await readPostmaster(dataDir);
    const known = postmaster?.alive === true ? await withDescendants(postmaster.pid) : new Set<number>();
    for (const worker of this.workers) for (const pid of await withDescendants(worker.pid)) known.add(pid);
    const processes = processesOf(this.root).filter(({ pid }) => !known.has(pid));
    const stored = await readdir(backupsDir, { recursive: true }).catch(() => [] as string[]);
    const files = [
      ...stored.filter((path) => /(^|\/)incoming\/.|\.tmp$/.test(path)),
      ...(await readdir(join(stateDir, 'scratch')).catch(() => [] as string[])).map((name) => `scratch/${name}`),
      ...['recovery.signal', 'standby.signal', 'backup.manifest'].filter((name) => existsSync(join(dataDir, name))),
    ];
    const databases =
      postmaster?.alive === true
        ? (
            (await this.query("SELECT datname FROM pg_database WHERE datname ~ '_new_'", 'postgres')).rows as {
              datname: string;
            }[]
          ).map(({ datname }) => datname)
        : [];
    return { processes, files, databases };
  }

  /** Ends everything of the site and removes its files; again, it does nothing. */
  async remove(): Promise<void> {
    if (this.removed) return;
    this.removed = true;
    for (const worker of this.workers) await worker.kill();
    await killAll(() => processesOf(this.root));
    await this.endWorkflows().catch(() => undefined);
    await this.session.close();
    const log = await readFile(this.workerLog, 'utf8').catch(() => '');
    await rm(this.root, { recursive: true, force: true, maxRetries: 5 });
    this.reaper.done();
    const stray = log.split('\n').find((line) => line.includes(STRAY_FAILURE));
    if (stray !== undefined) throw new Error(stray);
  }

  /** Whoever still waits for a result gets an answer: a call that is open when its connection closes throws later. */
  private async endWorkflows(): Promise<void> {
    const { workflow } = this.session.client;
    for await (const { workflowId } of workflow.list({ query: "ExecutionStatus = 'Running'" })) {
      await workflow
        .getHandle(workflowId)
        .terminate('the test is over')
        .catch(() => undefined);
    }
    await Promise.race([Promise.allSettled(this.asked), sleep(5000, undefined, { ref: false })]);
  }

  private async tailOfLog(): Promise<string> {
    return (await readFile(this.workerLog, 'utf8').catch(() => '')).slice(-1500);
  }
}
