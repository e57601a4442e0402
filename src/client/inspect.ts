import { randomUUID } from 'node:crypto';
import { RepriseError } from '../domain/errors.js';
import { CONTROL_QUEUE, workflowTypes } from '../domain/operation/names.js';
import {
  type InspectionResults,
  type Inspection,
  type InspectionKind,
  type PagedAnswer,
  isInParts,
  isPaged,
  listsEverything,
  mergeInspectionResults,
} from '../domain/operation/inspections.js';
import type { InspectInput } from '../workflows/api.js';
import type { TemporalSession } from './connect.js';
import { rejectWithoutWorker } from './pollers.js';

/** Most answer within a second. */
const TIMEOUT_MS = 10 * 60_000;
/** Of what lists everything: as long as its activity may take, which is given up when its heartbeats end. */
const LISTING_TIMEOUT_MS = 7 * 86_400_000;

/**
 * Asks the host that owns the data, by one short workflow, which ends with an interruption.
 * @throws `host-without-worker` when no worker polls the queue that it waits on; `interrupted`; what the activity failed with otherwise.
 */
export async function runInspection<K extends InspectionKind>(
  session: TemporalSession,
  question: Extract<Inspection, { kind: K }>,
  interruption?: AbortSignal,
): Promise<InspectionResults[K]> {
  const answer: unknown = await ask(session, question, interruption);
  if (!isInParts(answer)) return answer as InspectionResults[K];
  const parts = await Promise.all(
    answer.parts.map((part) => (isPaged(part) ? readPages(session, part, interruption) : part)),
  );
  return mergeInspectionResults(parts) as InspectionResults[K];
}

/** Reads an answer that is too long for one payload, from the host that keeps it. */
async function readPages(
  session: TemporalSession,
  { paged: { host, id, pages } }: PagedAnswer,
  interruption?: AbortSignal,
): Promise<unknown> {
  let text = '';
  for (let page = 0; page < pages; page++) {
    const answer = (await ask(session, { kind: 'page', host, id, page }, interruption)) as InspectionResults['page'];
    text += answer.text;
  }
  return JSON.parse(text);
}

async function ask(session: TemporalSession, question: Inspection, interruption?: AbortSignal): Promise<unknown> {
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
  }
}

/** Never resolves; rejects when the person who asked interrupts. */
function interrupted(interruption: AbortSignal, ended: AbortSignal): Promise<never> {
  return new Promise<never>((_, reject) => {
    const stop = (): void =>
      reject(
        new RepriseError('interrupted', 'stopped waiting for the answer', 'run the command again: nothing was changed'),
      );
    if (interruption.aborted) stop();
    interruption.addEventListener('abort', stop, { signal: ended });
  });
}
