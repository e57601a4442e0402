import type { Config } from '../domain/config.js';
import { isRepriseError } from '../domain/errors.js';
import type { Finding } from '../domain/findings.js';
import { CONTROL_QUEUE, lightQueue } from '../domain/names.js';
import { ask } from './ask.js';
import { connectTemporal } from './connect.js';
import type { TemporalSession, TemporalSettings } from './connect.js';
import { toRepriseError } from './errors.js';
import { hasPoller, workerHint } from './pollers.js';
import { listSchedules } from './schedule-operate.js';
import { planSchedules } from './schedules.js';
import { missingSearchAttributes } from './search-attributes.js';
import { planWatches } from './watches.js';

export interface TemporalFindings {
  readonly findings: readonly Finding[];
  /** Hosts whose own worker has looked at them; their findings are among the others. */
  readonly answeredHosts: readonly string[];
}

/** What `doctor` can learn through Temporal; a server that does not answer is itself a finding. */
export async function temporalFindings(settings: Promise<TemporalSettings>, config: Config): Promise<TemporalFindings> {
  let session: TemporalSession;
  try {
    session = await connectTemporal(await settings);
  } catch (error) {
    const { message, hint } = toRepriseError(error);
    return { findings: [finding('temporal', 'error', message, hint ?? null)], answeredHosts: [] };
  }
  try {
    const { address, namespace, origin } = session.settings;
    const reached = finding('temporal', 'ok', `Temporal answers at ${address} (from ${origin}), namespace ${namespace}`);
    const workers = await pollerFindings(session, config);
    const hosts = await hostFindings(session, config, workers);
    const rest = await Promise.all([attributeFinding(session), scheduleFindings(session, config), watchFindings(session, config)]);
    return { findings: [reached, ...workers, ...hosts.findings, ...rest.flat()], answeredHosts: hosts.answered };
  } catch (error) {
    const { message, hint } = toRepriseError(error);
    return { findings: [finding('temporal', 'error', message, hint ?? null)], answeredHosts: [] };
  } finally {
    await session.close();
  }
}

async function pollerFindings(session: TemporalSession, config: Config): Promise<Finding[]> {
  const control = await hasPoller(session, CONTROL_QUEUE, 'workflow');
  const queues = Object.keys(config.hosts).map(lightQueue);
  const polled = await Promise.all(queues.map((queue) => hasPoller(session, queue, 'activity')));
  return [
    pollerFinding(CONTROL_QUEUE, control),
    ...queues.map((queue, index) => pollerFinding(queue, polled[index] === true)),
  ];
}

function pollerFinding(queue: string, polled: boolean): Finding {
  if (polled) return finding(`worker/${queue}`, 'ok', `a worker polls the queue ${queue}`);
  return finding(`worker/${queue}`, 'error', `no worker polls the queue ${queue}: work that needs it waits`, workerHint(queue));
}

/** Hosts look at themselves where a worker is there to do it. */
async function hostFindings(session: TemporalSession, config: Config, workers: readonly Finding[]): Promise<{ findings: Finding[]; answered: string[] }> {
  const polls = (queue: string): boolean => workers.some(({ check, level }) => check === `worker/${queue}` && level === 'ok');
  const findings: Finding[] = [];
  const answered: string[] = [];
  if (!polls(CONTROL_QUEUE)) return { findings, answered };
  for (const host of Object.keys(config.hosts).filter((name) => polls(lightQueue(name)))) {
    try {
      findings.push(...(await ask<'host'>(session, { kind: 'host', host })).findings);
      answered.push(host);
    } catch (error) {
      if (!isRepriseError(error) || error.code !== 'host-without-worker') {
        findings.push(finding(`host/${host}`, 'warning', `host ${host} could not look at itself: ${toRepriseError(error).message}`, `run there: reprise doctor --host ${host}`));
      }
    }
  }
  return { findings, answered };
}

async function attributeFinding(session: TemporalSession): Promise<Finding[]> {
  const missing = await missingSearchAttributes(session);
  if (missing.length === 0) return [finding('search-attributes', 'ok', 'the search attributes are registered')];
  return [finding('search-attributes', 'error', `search attributes are missing: ${missing.join(', ')}; no work can be started`, '`reprise schedule apply` registers them, or an administrator of Temporal does (Keyword)')];
}

async function scheduleFindings(session: TemporalSession, config: Config): Promise<Finding[]> {
  const drift = (await planSchedules(session, config)).filter(({ action }) => action !== 'none' && action !== 'leave');
  const findings = drift.map(({ id, action, reasons }) =>
    finding(`schedule/${id}`, 'warning', `schedule ${id} differs from the config (${action}): ${reasons.join('; ')}`, 'reprise schedule apply'),
  );
  if (drift.length === 0) findings.push(finding('schedules', 'ok', 'the schedules are as the config says'));
  for (const { id, paused, note, missedRuns } of await listSchedules(session)) {
    if (paused) findings.push(finding(`schedule/${id}`, 'warning', `schedule ${id} is paused${note === null ? '' : ` (${note})`}`, `reprise schedule resume ${id}`));
    if (missedRuns > 0) findings.push(finding(`schedule/${id}`, 'warning', `schedule ${id} missed ${missedRuns} runs`, `reprise schedule trigger ${id}`));
  }
  return findings;
}

async function watchFindings(session: TemporalSession, config: Config): Promise<Finding[]> {
  return (await planWatches(session, config))
    .filter(({ action }) => action === 'start' || action === 'stop')
    .map(({ workflowId, action, reasons }) => finding(workflowId, 'warning', `${workflowId} is to ${action}: ${reasons.join('; ')}`, 'reprise schedule apply'));
}

function finding(check: string, level: Finding['level'], message: string, fix: string | null = null): Finding {
  return { check, level, message, fix };
}
