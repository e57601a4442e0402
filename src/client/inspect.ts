import type { ActivityOptions } from '@temporalio/client';
import { randomUUID } from 'node:crypto';
import { isRepriseError, RepriseError } from '../domain/errors.js';
import { CONTROL_QUEUE, lightQueue, workflowTypes } from '../domain/operation/names.js';
import {
  type InspectionResults,
  type Inspection,
  type InspectionKind,
  type PagedAnswer,
  changesRecords,
  isInParts,
  isPaged,
  joinAnswers,
  listsEverything,
  mergeInspectionResults,
} from '../domain/operation/inspections.js';
import type { Progress } from '../domain/operation/progress.js';
import { HEARTBEAT_SECONDS } from '../domain/operation/status.js';
import type { InspectInput } from '../workflows/api.js';
import type { TemporalSession } from './connect.js';
import { rejectWithoutWorker, workerHint } from './pollers.js';
import { interrupted, lacksStandaloneActivities, removeEnded, runStandalone } from './standalone-activity.js';

/** Most answer within a second. */
const TIMEOUT_MS = 10 * 60_000;
/** Of what lists everything: as long as its activity may take, which is given up when its heartbeats end. */
const LISTING_TIMEOUT_MS = 7 * 86_400_000;
/** A person waits. */
const TAKEN_UP_MS = 30_000;

/**
 * Asks the hosts that own the data: neither the command line nor the control worker opens a repository or a database. It leaves no
 * workflow behind, and of a read nothing at all. An interruption ends it.
 * @throws `host-without-worker` when no worker polls the queue that it waits on; `interrupted`; what the activity failed with otherwise.
 */
export async function runInspection<K extends InspectionKind>(
  session: TemporalSession,
  question: Extract<Inspection, { kind: K }>,
  interruption?: AbortSignal,
  onProgress?: (progress: Progress) => void,
): Promise<InspectionResults[K]> {
  const inquiry: Inquiry = { session, interruption, onProgress, reads: [] };
  try {
    const answer: unknown = await ask(inquiry, question);
    if (!isInParts(answer)) return answer as InspectionResults[K];
    const parts = await Promise.all(answer.parts.map((part) => (isPaged(part) ? readPages(inquiry, part) : part)));
    return mergeInspectionResults(parts) as InspectionResults[K];
  } finally {
    await removeEnded(session, READS, inquiry.reads);
  }
}

/** Ids of reads begin so; writes are kept, to be seen in Temporal. */
const READS = 'inspect/';
const WRITES = 'record/';

/** All that is asked for one inspection. */
interface Inquiry {
  readonly session: TemporalSession;
  readonly interruption: AbortSignal | undefined;
  /** Told how far a long read is; not where the server runs no activities without a workflow. */
  readonly onProgress: ((progress: Progress) => void) | undefined;
  /** Ids of the activities that nobody needs afterwards. */
  readonly reads: string[];
}

/** Reads an answer that is too long for one payload, from the host that keeps it. */
async function readPages(inquiry: Inquiry, { paged: { host, id, pages } }: PagedAnswer): Promise<unknown> {
  let text = '';
  for (let page = 0; page < pages; page++) {
    const answer = (await ask(inquiry, { kind: 'page', host, id, page })) as InspectionResults['page'];
    text += answer.text;
  }
  return JSON.parse(text);
}

async function ask(inquiry: Inquiry, question: Inspection): Promise<unknown> {
  try {
    return await askHosts(inquiry, question);
  } catch (error) {
    // The first call says so, before anything was asked.
    if (!lacksStandaloneActivities(error)) throw error;
    inquiry.reads.length = 0;
    return askByWorkflow(inquiry, question);
  }
}

async function askHosts(inquiry: Inquiry, question: Inspection): Promise<unknown> {
  const hosts =
    question.kind === 'host' || question.kind === 'page' ? [question.host] : await hostsOf(inquiry, { question });
  return joinAnswers(await Promise.all(hosts.map((host) => askHost(inquiry, host, question, hosts))));
}

/** The hosts that own what is asked for, by the control worker's configuration. */
function hostsOf(
  inquiry: Inquiry,
  input: { readonly question: Inspection; readonly without?: string },
): Promise<readonly string[]> {
  const { kind } = input.question;
  return run(inquiry, 'hostsOf', input, {
    ...optionsOf(input.question, CONTROL_QUEUE),
    id: `${READS}hosts/${kind}/${randomUUID()}`,
    summary: `look up which hosts to ask: ${kind}`,
    // A worker that has just started is not the current one yet.
    scheduleToStartTimeout: TIMEOUT_MS,
    startToCloseTimeout: '30s',
  });
}

function run<T>(
  { session, interruption, onProgress, reads }: Inquiry,
  name: string,
  input: unknown,
  options: ActivityOptions,
): Promise<T> {
  if (options.id.startsWith(READS)) reads.push(options.id);
  return runStandalone(session, { name, input, options, interruption, onProgress });
}

/** A host that has just died still seems to have a worker: then one that its clusters can be recovered onto is asked, where `asked` has none. */
async function askHost(
  inquiry: Inquiry,
  host: string,
  question: Inspection,
  asked: readonly string[],
): Promise<unknown> {
  const answerOf = (by: string): Promise<unknown> =>
    run(inquiry, 'answer', { question, host: by }, optionsOf(question, lightQueue(by)));
  try {
    return await answerOf(host);
  } catch (error) {
    // Its pollers may be taken for gone just after the question was put.
    const isGone = isRepriseError(error) && error.code === 'host-without-worker';
    if (!isGone && !wasNeverStarted(error)) throw error;
    // Of a host itself, and of an answer that it keeps, no other one knows.
    const isItsOwn = question.kind === 'page' || question.kind === 'host';
    const others = isItsOwn ? [] : await hostsOf(inquiry, { question, without: host });
    const other = others.find((one) => !asked.includes(one));
    if (other !== undefined) return answerOf(other);
    if (isGone) throw error;
    throw new RepriseError(
      'host-without-worker',
      `no worker took it up from the queue ${lightQueue(host)} within ${TAKEN_UP_MS / 1000} s`,
      workerHint(lightQueue(host)),
    );
  }
}

/** A few attempts, so that what cannot be done is told soon. */
function optionsOf(question: Inspection, taskQueue: string) {
  return {
    id: `${changesRecords(question) ? WRITES : READS}${question.kind}/${randomUUID()}`,
    taskQueue,
    summary: `inspection for the command line: ${question.kind}`,
    startToCloseTimeout: listsEverything(question) ? LISTING_TIMEOUT_MS : TIMEOUT_MS,
    scheduleToStartTimeout: TAKEN_UP_MS,
    heartbeatTimeout: HEARTBEAT_SECONDS * 1000,
    retry: { initialInterval: '500ms', maximumInterval: '5s', maximumAttempts: 4 },
  } as const;
}

function wasNeverStarted(error: unknown): boolean {
  const cause = (error as { cause?: { name?: unknown; timeoutType?: unknown } }).cause;
  return cause?.name === 'TimeoutFailure' && cause.timeoutType === 'SCHEDULE_TO_START';
}

/** The same by one short workflow, for servers that run no activities without one. */
async function askByWorkflow({ session, interruption }: Inquiry, question: Inspection): Promise<unknown> {
  const input: InspectInput = { question };
  const handle = await session.client.workflow.start(workflowTypes.inspect, {
    workflowId: `inspect/${question.kind}/${randomUUID()}`,
    taskQueue: CONTROL_QUEUE,
    args: [input],
    workflowExecutionTimeout: listsEverything(question) ? LISTING_TIMEOUT_MS : TIMEOUT_MS,
    staticSummary: `Inspection for the command line: ${question.kind}`,
  });
  const ended = new AbortController();
  try {
    const answer = handle.result().finally(() => ended.abort()) as Promise<unknown>;
    // Both are observed below; the loser's rejection must not count as unhandled.
    const alone = rejectWithoutWorker(session, handle.workflowId, ended.signal);
    alone.catch(() => undefined);
    answer.catch(() => undefined);
    return await Promise.race([answer, alone, ...(interruption ? [interrupted(interruption, ended.signal)] : [])]);
  } catch (error) {
    if (!ended.signal.aborted)
      await handle
        .terminate(interruption?.aborted ? 'the command was interrupted' : 'no worker answered')
        .catch(() => undefined);
    throw error;
  } finally {
    ended.abort();
    if (!changesRecords(question)) await removeWorkflow(session, handle.workflowId);
  }
}

/** A read is no piece of work to look at later. Where it may not be removed, the server's retention does it. */
async function removeWorkflow({ connection, settings }: TemporalSession, workflowId: string): Promise<void> {
  await connection.workflowService
    .deleteWorkflowExecution({ namespace: settings.namespace, workflowExecution: { workflowId } })
    .catch(() => undefined);
}
