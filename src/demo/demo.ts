import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { webUiLink } from '../client/connect.js';
import type { TemporalSession } from '../client/connect.js';
import { follow } from '../client/follow.js';
import { applySchedules } from '../client/schedules.js';
import { startBackup } from '../client/start.js';
import { applyWatches } from '../client/watches.js';
import { loadConfig } from '../config/load.js';
import { RepriseError } from '../domain/errors.js';
import type { BackupOutput } from '../workflows/api.js';
import { tailOfFile } from '../process/output-tail.js';
import { createCluster, fillCluster } from './cluster.js';
import { initialContents } from './data/initial.js';
import { createNarrator } from './narrator.js';
import type { Narrator } from './narrator.js';
import { Owned } from './owned.js';
import { runPass } from './pass.js';
import type { Stage } from './pass.js';
import type { DemoResult, PassResult } from './result.js';
import { makeScratch } from './scratch.js';
import { commandLine, startServers } from './servers.js';
import { APPROVER, CLUSTER, LOGICAL_POLICY, PHYSICAL_POLICY, repriseYml } from './settings.js';

export interface DemoOptions {
  readonly scenario: 'instance-loss' | 'table-corruption' | 'drill';
  /** Leaves everything standing, and says where and how to stop it. */
  readonly keep: boolean;
  /** Answers the question by a real `approve` update, as `demo`. */
  readonly yes: boolean;
  readonly json: boolean;
  /** Where the scratch directory is made; the system's temporary directory by default. */
  readonly dir?: string;
  /** Gets the narration, line by line; stderr by default. */
  readonly out?: (line: string) => void;
}

/**
 * From an empty directory to a recovered database, twice, with everything real: data, backups, loss, decision, recovery.
 * @throws `usage` for a scenario that is not there yet, `interrupted` on Ctrl-C; the first failure of any step.
 */
export async function runDemo(options: DemoOptions): Promise<DemoResult> {
  if (options.scenario !== 'instance-loss') {
    throw new RepriseError('usage', `the scenario ${options.scenario} comes with a later version`, 'run `reprise demo --scenario instance-loss`');
  }
  const narrator = createNarrator(options.out ?? ((line) => void process.stderr.write(`${line}\n`)));
  const owned = new Owned();
  const interruption = new AbortController();
  const interrupt = (): void => interruption.abort(new RepriseError('interrupted', 'the demo was interrupted', 'Run it again.'));
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const name of signals) process.on(name, interrupt);
  try {
    return await play(options, narrator, owned, interruption.signal);
  } catch (error) {
    await tellLogs(owned, narrator);
    throw interruption.signal.aborted ? interruption.signal.reason : error;
  } finally {
    if (options.keep && !interruption.signal.aborted) await tellKept(owned, narrator);
    else await owned.removeAll();
    for (const name of signals) process.removeListener(name, interrupt);
  }
}

/** The demo as a script. */
async function play(options: DemoOptions, narrator: Narrator, owned: Owned, signal: AbortSignal): Promise<DemoResult> {
  const begun = performance.now();
  const scratch = await makeScratch(options.dir);
  owned.place(scratch);

  narrator.chapter(`Preparing, all of it below ${scratch.root}`);
  await writeFile(scratch.configFile, repriseYml(scratch), { mode: 0o600 });
  const config = await loadConfig({ file: scratch.configFile });
  const initial = await narrator.timed('200,000 appointments derived from all French communes', () => initialContents());
  // Side by side: neither uses much of the machine.
  const [session] = await Promise.all([
    narrator.timed('an embedded Temporal server and a worker, two processes', () => startServers(scratch, config, owned)),
    narrator.timed(`a PostgreSQL cluster of its own on port ${scratch.connection.port}, database mairie filled`, async () => {
      await createCluster(scratch);
      await fillCluster(scratch, initial);
    }),
  ]);
  try {
    narrator.say(`Web UI: ${session.settings.webUi}`);

    narrator.chapter('Schedules and backups');
    const schedules = await applySchedules(session, config);
    narrator.say(`schedules applied: ${schedules.map(({ id }) => id).join(', ')}`);
    await backUp(session, narrator, PHYSICAL_POLICY, signal);
    await backUp(session, narrator, LOGICAL_POLICY, signal);
    await applyWatches(session, config);
    narrator.say(`a watch looks at ${CLUSTER} every second`);

    const decision = { yes: options.yes, interactive: process.stdin.isTTY === true && process.stderr.isTTY === true, signal };
    const stage: Stage = { scratch, session, initial, owned, narrator, decision, reports: reportDirectory(options.dir) };
    const passes: PassResult[] = [];
    narrator.chapter('First pass: business goes on, then the data files are lost; pg_wal is still readable');
    const first = await runPass(stage, 'data-files', passes);
    passes.push(first);
    narrator.chapter('Second pass: business goes on, then the whole directory is lost, its WAL too');
    passes.push(await runPass(stage, 'whole-directory', passes));
    return {
      ...first,
      scenario: 'instance-loss',
      recovered: passes.every(({ recovered }) => recovered),
      passes,
      seconds: (performance.now() - begun) / 1000,
      kept: options.keep ? scratch.root : null,
    };
  } finally {
    await session.close();
  }
}

async function backUp(session: TemporalSession, narrator: Narrator, policy: string, signal: AbortSignal): Promise<void> {
  const work = await startBackup(session, { cluster: CLUSTER, policy, type: policy === PHYSICAL_POLICY ? 'full' : 'auto', requestedBy: APPROVER });
  narrator.say(`${work.workflowId}: ${webUiLink(session.settings, work.workflowId)}`);
  await narrator.timed(`policy ${policy}: backed up and verified`, async () => {
    const { backups, skipped } = await follow<BackupOutput>(session, work.handle, { onStatus: () => undefined, everyMs: 2000, signal });
    const unproven = backups.filter(({ proven }) => proven === null);
    if (backups.length === 0 || unproven.length > 0) {
      throw new RepriseError('check-failed', `policy ${policy} gave no proven backup${skipped ? `: ${skipped.reason}` : ''}`, `See ${webUiLink(session.settings, work.workflowId)}.`);
    }
  });
}

/** Incident documents outlive the demo's own directory; made when there is one to keep. */
function reportDirectory(dir: string | undefined): () => Promise<string> {
  let made: Promise<string> | undefined;
  return () => (made ??= mkdtemp(join(resolve(dir ?? tmpdir()), 'reprise-demo-report-')));
}

async function tellKept(owned: Owned, narrator: Narrator): Promise<void> {
  const { scratch } = owned;
  if (scratch === null) return;
  narrator.chapter(`Kept below ${scratch.root}`);
  for (const { name, pid } of await owned.running()) narrator.say(`${name}: process ${pid}`);
  narrator.say(`try: ${commandLine(scratch)} status`);
  narrator.say('to stop and remove it all:');
  narrator.block(await owned.howToRemove());
}

/** What went wrong is in logs that are about to be removed. */
async function tellLogs(owned: Owned, narrator: Narrator): Promise<void> {
  const { scratch } = owned;
  if (scratch === null) return;
  for (const log of [join(scratch.root, 'servers', 'worker.log'), `${scratch.dataDir}.log`]) {
    const tail = (await tailOfFile(log)).trim();
    if (tail === '') continue;
    narrator.say(`end of ${log}:`);
    narrator.block(tail);
  }
}
