import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { applySchedules } from '../client/schedules/apply-schedules.js';
import { loadConfig } from '../config/load.js';
import { isRepriseError, RepriseError } from '../domain/errors.js';
import { backUp } from './backups.js';
import { createCluster, fillCluster, installAmcheck } from './cluster.js';
import { practise } from './drill.js';
import { initialContents } from './data/initial.js';
import { tellKept, tellLogs } from './ending.js';
import { makeEvidenceKey } from './evidence.js';
import { loseTwice } from './instance-loss.js';
import { createNarrator } from './narrator.js';
import type { Narrator } from './narrator.js';
import { Owned } from './owned.js';
import type { DemoResult } from './result.js';
import { repairAppointments } from './table-corruption.js';
import { makeScratch } from './scratch.js';
import { mainFile, startServers } from './servers.js';
import { LOGICAL_POLICY, PHYSICAL_POLICY, repriseYml } from './settings.js';
import type { Stage } from './stage.js';

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
 * A scenario from an empty directory to its end, with everything real: data, backups, decisions, recoveries and drills.
 * @throws `interrupted` on Ctrl-C; the first failure of any step.
 */
export async function runDemo(options: DemoOptions): Promise<DemoResult> {
  const narrator = createNarrator(options.out ?? ((line) => void process.stderr.write(`${line}\n`)));
  const owned = new Owned();
  const interruption = new AbortController();
  const interrupt = (): void =>
    interruption.abort(new RepriseError('interrupted', 'the demo was interrupted', 'Run it again.'));
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const name of signals) process.on(name, interrupt);
  // A failure nobody waited for would end the process and leave its servers behind.
  const giveUp = (error: Error): void => interruption.abort(error);
  process.on('uncaughtException', giveUp);
  try {
    const result = await play(options, narrator, owned, interruption.signal);
    await end();
    return result;
  } catch (error) {
    // Ctrl-C at a question is no signal: the question says it.
    const interrupted = interruption.signal.aborted || (isRepriseError(error) && error.code === 'interrupted');
    if (!interrupted) await tellLogs(owned, narrator);
    // What went wrong first is the failure; what could not be removed is said beside it.
    await end().catch((problem: unknown) => narrator.say(String(problem)));
    throw interruption.signal.aborted ? interruption.signal.reason : error;
  } finally {
    for (const name of signals) process.removeListener(name, interrupt);
    process.removeListener('uncaughtException', giveUp);
  }

  async function end(): Promise<void> {
    if (options.keep && !interruption.signal.aborted) await tellKept(owned, narrator);
    else await owned.removeAll();
  }
}

const SCENARIOS = { 'instance-loss': loseTwice, 'table-corruption': repairAppointments, drill: practise } as const;

/** What all scenarios begin with, and the scenario itself. */
async function play(options: DemoOptions, narrator: Narrator, owned: Owned, signal: AbortSignal): Promise<DemoResult> {
  const begun = performance.now();
  const scratch = await makeScratch(options.dir);
  owned.place(scratch);
  const drills = options.scenario === 'drill';
  const scenario = SCENARIOS[options.scenario];

  narrator.chapter(`Preparing, all of it below ${scratch.root}`);
  if (drills) await makeEvidenceKey(scratch);
  const tables = options.scenario === 'table-corruption';
  await writeFile(scratch.configFile, repriseYml(scratch, { drills, tables }), { mode: 0o600 });
  const config = await loadConfig({ file: scratch.configFile });
  const initial = await narrator.timed('200,000 appointments derived from all French communes', () =>
    initialContents(),
  );
  const [session] = await both(
    narrator.timed('an embedded Temporal server and a worker, two processes', () =>
      startServers(scratch, config, owned),
    ),
    narrator.timed(
      `a separate PostgreSQL cluster on port ${scratch.connection.port}, database mairie filled`,
      async () => {
        await createCluster(scratch);
        await fillCluster(scratch, initial);
        if (drills) await installAmcheck(scratch);
      },
    ),
  );
  try {
    narrator.say(`Web UI: ${session.settings.webUi}`);

    narrator.chapter('Schedules and backups');
    const schedules = await applySchedules(session, config);
    narrator.say(`schedules applied: ${schedules.map(({ id }) => id).join(', ')}`);
    await backUp(session, narrator, PHYSICAL_POLICY, signal);
    await backUp(session, narrator, LOGICAL_POLICY, signal);

    const interactive = process.stdin.isTTY === true && process.stderr.isTTY === true;
    const decision = { yes: options.yes, interactive, signal };
    const reports = reportDirectory(options.dir);
    const stage: Stage = { scratch, mainFile, config, session, initial, owned, narrator, decision, reports };
    const result = await scenario(stage);
    return { ...result, seconds: (performance.now() - begun) / 1000, kept: options.keep ? scratch.root : null };
  } finally {
    await session.close();
  }
}

/** Side by side. When one fails the other is waited for all the same: nothing may still be starting while we clear up. */
async function both<A, B>(first: Promise<A>, second: Promise<B>): Promise<[A, B]> {
  await Promise.allSettled([first, second]);
  return Promise.all([first, second]);
}

/** Reports outlive the demo's own directory; made when there is one to keep. */
function reportDirectory(dir: string | undefined): () => Promise<string> {
  let made: Promise<string> | undefined;
  return () => (made ??= mkdtemp(join(resolve(dir ?? tmpdir()), 'reprise-demo-report-')));
}
