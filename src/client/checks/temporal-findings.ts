import type { Config } from '../../domain/config.js';
import { isRepriseError } from '../../domain/errors.js';
import type { Finding } from '../../domain/findings.js';
import { OPEN_EXECUTIONS } from '../../domain/operation/executions.js';
import {
  CONTROL_QUEUE,
  dailyCheckSchedule,
  drillSchedules,
  hostQueues,
  lightQueue,
  searchAttributes,
  workflowTypes,
} from '../../domain/operation/names.js';
import { isLoopback } from '../../domain/plain-address.js';
import { parseIdentity, shortConfig } from '../../domain/operation/worker-identity.js';
import { durationInWords } from '../../domain/text/text.js';
import { runInspection } from '../inspect.js';
import { connectTemporal } from '../connect.js';
import type { TemporalSession, TemporalSettings } from '../connect.js';
import { driftInWords, mixedVersions, mixedVersionsInWords, withOtherConfig, workerConfigs } from '../config-drift.js';
import type { WorkerConfig } from '../config-drift.js';
import { toRepriseError } from '../errors.js';
import { type PolledQueue, polledQueues, workerHint } from '../pollers.js';
import { listSchedules } from '../schedules/operate-schedules.js';
import type { ScheduleLine } from '../schedules/operate-schedules.js';
import { planSchedules, scheduleOf } from '../schedules/apply-schedules.js';
import { registrationHint } from '../../domain/operation/search-attributes.js';
import { missingSearchAttributes } from '../search-attributes.js';
import { type WatchChange, planWatches } from '../schedules/apply-watches.js';
import { type StatusView, statusOf } from '../status.js';
import { unknownPollers } from './unknown-pollers.js';

export interface TemporalFindings {
  readonly findings: readonly Finding[];
  /** Hosts whose own worker has inspected at them; their findings are among the others. */
  readonly answeredHosts: readonly string[];
}

/** Which hosts are asked. */
interface Asked {
  /** Hosts that are looked at from here anyway. */
  readonly except?: readonly string[] | undefined;
  /** What a worker found with another configuration than this one says nothing about this one. */
  readonly withThisFile?: boolean;
}

/** What `doctor` can learn through Temporal; a server that does not answer is itself a finding. */
export async function temporalFindings(
  settings: Promise<TemporalSettings>,
  config: Config,
  asked: Asked = {},
): Promise<TemporalFindings> {
  let session: TemporalSession;
  try {
    session = await connectTemporal(await settings);
  } catch (error) {
    const { message, hint } = toRepriseError(error);
    return { findings: [finding('temporal', 'problem', message, hint ?? null)], answeredHosts: [] };
  }
  try {
    return await findingsOf(session, config, asked);
  } finally {
    // What was found is not lost because a call was still open.
    await session.close().catch(() => undefined);
  }
}

/** What a server that answers is asked: each question by itself, and who polls the queues once for all of them. */
export async function findingsOf(
  session: TemporalSession,
  config: Config,
  asked: Asked = {},
): Promise<TemporalFindings> {
  const { address, namespace, origin } = session.settings;
  const reached = finding('temporal', 'ok', `Temporal answers at ${address} (from ${origin}), namespace ${namespace}`);
  const queues = polledQueues(session, config);
  const hosts = queues.then((polled) => hostFindings(session, config, polled, asked));
  let answeredHosts: readonly string[] = [];
  const found = await eachByItself([
    async () => pollerFindings(await queues, config, await hosts),
    async () => {
      const { answered, findings } = await hosts;
      answeredHosts = answered;
      return findings;
    },
    async () => unknownPollers(await queues),
    async () => driftFindings(await queues, config),
    () => attributeFinding(session),
    () => scheduleFindings(session, config),
    () => watchFindings(session, config),
  ]);
  return { findings: [reached, ...plainFindings(session.settings), ...found], answeredHosts };
}

/** Other than `temporal`, which says that the server does not answer at all. */
const UNANSWERED = 'temporal/unanswered';

/** Questions to the server: one that it does not answer (in time, or under its limits) is a finding, and the others stay. */
export async function eachByItself(
  questions: readonly (() => Promise<readonly Finding[]>)[],
): Promise<readonly Finding[]> {
  const found = await Promise.all(
    questions.map((ask) =>
      ask().catch((error: unknown): readonly Finding[] => {
        const { message, hint } = toRepriseError(error);
        return [finding(UNANSWERED, 'problem', message, hint ?? null)];
      }),
    ),
  );
  const failures = new Set<string>();
  return found.flat().filter(({ check, level, message }) => {
    if (check !== UNANSWERED || level !== 'problem') return true;
    const isNew = !failures.has(message);
    failures.add(message);
    return isNew;
  });
}

/** A server elsewhere without TLS: who is on the way reads all histories and can send decisions as anybody. */
export function plainFindings({ address, connection }: TemporalSettings): readonly Finding[] {
  const { tls, apiKey } = connection;
  const isProtected = (tls !== undefined && tls !== null && tls !== false) || apiKey !== undefined;
  if (isProtected || isLoopback(address.replace(/:\d+$/, ''))) return [];
  return [
    finding(
      'connection/temporal',
      'warning',
      `Temporal at ${address} is reached without TLS: whoever is on the way can read histories, and decide and poll as anybody`,
      'serve it with TLS and set TEMPORAL_TLS=true, with TEMPORAL_TLS_SERVER_CA_CERT_PATH for an authority of your own',
    ),
  ];
}

/** Whether a queue has a worker; that of the workflows, one that runs them. */
function isPolled(queues: readonly PolledQueue[], queue: string): boolean {
  return queues.some(
    (one) => one.queue === queue && one.pollers.length > 0 && (one.host !== null || one.kind === 'workflow'),
  );
}

/** Which hosts were asked something, and whose workers took nothing up. */
type AskedHosts = Pick<HostFindings, 'alive' | 'silent'>;

/** One finding where all queues of a worker are polled, one for each that is not. */
function pollerFindings(queues: readonly PolledQueue[], config: Config, asked: AskedHosts): Finding[] {
  const hosts = Object.keys(config.hosts).map(hostQueues);
  const workersOf = (names: readonly string[]): ReadonlySet<string> =>
    new Set(names.flatMap((host) => workersAt(queues, lightQueue(host)).map(({ worker }) => worker)));
  const [silent, answering] = [workersOf(asked.silent), workersOf(asked.alive)];
  const workerFindings = ([first, ...others]: readonly [string, ...string[]]): Finding[] => {
    const missing = [first, ...others].filter((queue) => !isPolled(queues, queue));
    if (missing.length === 0) {
      const workers = workersAt(queues, first);
      const names = [first, ...others.map((queue) => queue.slice(first.length))].join(', ');
      const heard = `last heard ${durationInWords(Math.max(0, Date.now() - Math.max(...workers.map(({ seenMs }) => seenMs))) / 1000)} ago`;
      // The server lists a worker that was killed until its last poll would have ended.
      if (workers.every(({ worker }) => silent.has(worker) && !answering.has(worker)))
        return [
          finding(
            `worker/${first}`,
            'problem',
            `the worker of the queue ${names} does not answer, ${heard}: it has ended, or is too busy to take up a question`,
            workerHint(first),
          ),
        ];
      const state = workers.some(({ worker }) => answering.has(worker)) ? 'it answers' : heard;
      return [finding(`worker/${first}`, 'ok', `a worker polls the queue ${names}; ${state}`)];
    }
    return missing.map((queue) =>
      finding(
        `worker/${queue}`,
        'problem',
        `no worker polls the queue ${queue}: operations that need it wait`,
        workerHint(queue),
      ),
    );
  };
  return [[CONTROL_QUEUE] as const, ...hosts].flatMap(workerFindings);
}

/** Who polls a queue, by the process: with another version or configuration it is the same one. */
function workersAt(queues: readonly PolledQueue[], queue: string): readonly { worker: string; seenMs: number }[] {
  return queues
    .filter((one) => one.queue === queue && (one.host !== null || one.kind === 'workflow'))
    .flatMap(({ pollers }) =>
      pollers.map(({ identity, seenMs }) => ({ worker: parseIdentity(identity)?.worker ?? identity, seenMs })),
    );
}

interface HostFindings {
  readonly findings: readonly Finding[];
  readonly answered: readonly string[];
  /** Whose workers have answered, also with another configuration. */
  readonly alive: readonly string[];
  /** Their workers polled in the last minutes, and took up no question. */
  readonly silent: readonly string[];
}

/** Findings of each host whose worker is running, made by that worker. */
async function hostFindings(
  session: TemporalSession,
  config: Config,
  queues: readonly PolledQueue[],
  { except = [], withThisFile = false }: Asked,
): Promise<HostFindings> {
  const findings: Finding[] = [];
  const [answered, alive, silent]: [string[], string[], string[]] = [[], [], []];
  if (!isPolled(queues, CONTROL_QUEUE)) return { findings, answered, alive, silent };
  const living = Object.keys(config.hosts).filter(
    (name) => isPolled(queues, lightQueue(name)) && !except.includes(name),
  );
  for (const host of living) {
    try {
      const inspected = await runInspection<'host'>(session, { kind: 'host', host });
      alive.push(host);
      const isOther = withThisFile && inspected.configDigest !== config.digest;
      findings.push(...(isOther ? inspected.findings.filter(({ check }) => ofAnyFile(check)) : inspected.findings));
      if (!isOther) answered.push(host);
    } catch (error) {
      if (isRepriseError(error) && error.code === 'host-without-worker') silent.push(host);
      else {
        findings.push(
          finding(
            `host/${host}`,
            'warning',
            `host ${host} could not be checked by its worker: ${toRepriseError(error).message}`,
            `run there: reprise doctor --host ${host}`,
          ),
        );
      }
    }
  }
  return { findings, answered, alive, silent };
}

/** What a worker finds whichever configuration it has: its clock, and what operations hold. */
const ofAnyFile = (check: string): boolean => /^host\/[^/]+\/clock$|\/(pins?|frozen|left-hooks)(\/|$)/.test(check);

/** Whether all workers run with one version, and one finding for each host: that all its workers have this configuration, or which have another one. */
function driftFindings(queues: readonly PolledQueue[], config: Config): Finding[] {
  const workers = workerConfigs(queues);
  const drift = withOtherConfig(workers, config);
  const differing = drift.map((worker) => {
    const { message, fix } = driftInWords(worker, config);
    return finding(configCheck(worker.host), 'warning', message, fix);
  });
  const same = [...new Set(workers.map(({ host }) => host))].filter(
    (host) => !drift.some((worker) => worker.host === host),
  );
  return [
    ...versionFindings(workers),
    ...differing,
    ...same.map((host) =>
      finding(
        configCheck(host),
        'ok',
        `${host === null ? 'the workflows run' : `the worker of host ${host} runs`} with this configuration (${shortConfig(config.digest)})`,
      ),
    ),
  ];
}

function versionFindings(workers: readonly WorkerConfig[]): Finding[] {
  const versions = mixedVersions(workers);
  if (versions === null) return [];
  const { message, fix } = mixedVersionsInWords(versions);
  return [finding('workers/versions', 'warning', message, fix)];
}

const configCheck = (host: string | null): string =>
  host === null ? `worker/${CONTROL_QUEUE}/config` : `host/${host}/config`;

async function attributeFinding(session: TemporalSession): Promise<Finding[]> {
  const missing = await missingSearchAttributes(session);
  if (missing.length === 0) return [finding('search-attributes', 'ok', 'the search attributes are registered')];
  return [
    finding(
      'search-attributes',
      'problem',
      `search attributes are missing: ${missing.join(', ')}; no workflow can be started`,
      `\`reprise schedule apply\` registers them where Temporal allows it; else ${registrationHint(session.settings.namespace, missing)}`,
    ),
  ];
}

const APPLY = 'reprise schedule apply';
/** They tell people of what did not take place: nothing else tells of them, but a service outside. */
const alarmSchedules: readonly string[] = [dailyCheckSchedule, drillSchedules.overdue];

async function scheduleFindings(session: TemporalSession, config: Config): Promise<Finding[]> {
  const drift = (await planSchedules(session, config)).filter(({ action }) => action !== 'none' && action !== 'leave');
  const findings = drift.map(({ id, action, reasons }) => {
    const differs = `schedule ${id} differs from the config (${action}): ${reasons.join('; ')}`;
    const isAlarm = action === 'create' && alarmSchedules.some((name) => id.endsWith(`/${name}`));
    return isAlarm
      ? finding(`schedule/${id}`, 'problem', `${differs}. Without it nobody is told of what was missed`, APPLY)
      : finding(`schedule/${id}`, 'warning', differs, APPLY);
  });
  if (drift.length === 0) findings.push(finding('schedules', 'ok', 'the schedules agree with the configuration'));
  const { previousRuns } = await import('../../config/schedule.js');
  for (const line of await listSchedules(session, { exact: true })) {
    const schedule = scheduleOf(config, line.cluster, line.policy);
    const [due] = schedule === undefined ? [] : previousRuns(schedule, new Date(), 1);
    findings.push(...lineFindings(line, due));
  }
  return findings;
}

/** What is wrong with one schedule, which was last due at `due`. */
function lineFindings({ id, paused, note, missedRuns, lastRun }: ScheduleLine, due: Date | undefined): Finding[] {
  if (paused)
    return [
      finding(
        `schedule/${id}`,
        'warning',
        `schedule ${id} is paused${note === null ? '' : ` (${note})`}`,
        `reprise schedule resume ${id}`,
      ),
    ];
  // The server counts for ever: what was missed and made up for since is no finding any more.
  if (!missedRuns || (due !== undefined && lastRun !== null && Date.parse(lastRun) >= due.getTime())) return [];
  return [
    finding(
      `schedule/${id}`,
      'warning',
      `schedule ${id} missed ${missedRuns} run${missedRuns === 1 ? '' : 's'}, later than its catch-up window, and has not run since`,
      `reprise schedule trigger ${id}`,
    ),
  ];
}

async function watchFindings(session: TemporalSession, config: Config): Promise<Finding[]> {
  const watches = await planWatches(session, config);
  const ours = new Set(watches.filter(({ action }) => action === 'none').map(({ workflowId }) => workflowId));
  // Where nothing was ever started, the server may not know the attribute that is asked for.
  const listed = ours.size === 0 ? [] : await blindWatches(session);
  const blind = listed.filter((workflowId) => ours.has(workflowId));
  const states = await Promise.all(blind.map((workflowId) => statusOf(session, workflowId, { jobs: false })));
  return [...states.flatMap(watchStateFinding), ...unappliedWatches(watches)];
}

/** By the server's list, so that a thousand watches that look are not asked one by one. */
async function blindWatches(session: TemporalSession): Promise<readonly string[]> {
  const state = `${searchAttributes.state} IN ('paused', 'cannot-look')`;
  const query = `WorkflowType = '${workflowTypes.watch}' AND ${state} AND ${OPEN_EXECUTIONS}`;
  const found: string[] = [];
  for await (const { workflowId } of session.client.workflow.list({ query })) found.push(workflowId);
  return found;
}

/** A watch that sees nothing: people paused it, or it cannot look. */
function watchStateFinding({ workflowId, cluster, state, waitingFor }: StatusView): Finding[] {
  if (state !== 'paused' && state !== 'cannot-look') return [];
  const message = `${cluster} is not watched: ${waitingFor ?? state}`;
  const resume = `reprise cluster watch resume ${cluster} --reason "..."`;
  return state === 'paused'
    ? [finding(workflowId, 'warning', message, resume)]
    : [
        finding(
          workflowId,
          'problem',
          message,
          `correct it; the watch looks again by itself: reprise status ${workflowId}`,
        ),
      ];
}

function unappliedWatches(watches: readonly WatchChange[]): Finding[] {
  return watches
    .filter(({ action }) => action === 'start' || action === 'stop')
    .map(({ workflowId, action, reasons }) =>
      finding(
        workflowId,
        'warning',
        `${workflowId} must be ${action === 'start' ? 'started' : 'stopped'}: ${reasons.join('; ')}`,
        'reprise schedule apply',
      ),
    );
}

function finding(check: string, level: Finding['level'], message: string, fix: string | null = null): Finding {
  return { check, level, message, fix };
}
