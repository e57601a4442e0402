import { Context } from '@temporalio/activity';
import { defaultPayloadConverter } from '@temporalio/common';
import { RepriseError } from '../../domain/errors.js';
import type { Sender, SentBy } from '../../domain/plan/plan.js';

type Service = Context['client']['workflowService'];
type Page = Awaited<ReturnType<Service['getWorkflowExecutionHistoryReverse']>>;
type HistoryEvent = NonNullable<NonNullable<Page['history']>['events']>[number];
type Payloads = NonNullable<
  NonNullable<NonNullable<HistoryEvent['workflowExecutionSignaledEventAttributes']>['input']>['payloads']
>;
type Execution = { readonly workflowId: string; readonly runId: string };

const PAGE_EVENTS = 200;
/** gRPC codes of a server that cannot say it, or not to this worker: the decision then has no known sender. */
const NOT_FOUND = 5;
const PERMISSION_DENIED = 7;
const UNIMPLEMENTED = 12;

/** The history of the calling workflow; tests give events of their own. */
export interface HistoryReader {
  /** Newest first. */
  events(): AsyncIterable<HistoryEvent>;
  first(): Promise<HistoryEvent | null>;
}

/**
 * Who sent a decision: the handler of the workflow does not see it, its event in the history does. `says` tells whether a
 * message is this very decision, so that nobody gives the sender of another one as theirs. Null where there is none, or
 * the activity was started without a workflow.
 * @throws RepriseError `temporal-unreachable`
 */
export async function senderOf(
  sentBy: SentBy | undefined,
  says: (raw: unknown) => boolean,
  history?: HistoryReader,
): Promise<Sender | null> {
  const reader = sentBy === undefined ? null : (history ?? historyOfCaller());
  if (sentBy === undefined || reader === null) return null;
  return readable(async () => {
    for await (const event of reader.events()) {
      const message = messageOf(event, sentBy);
      if (message === null || !carries(message.payloads, says)) continue;
      return { identity: message.identity, principal: principalOf(event) };
    }
    return null;
  });
}

/** The principal that started the calling workflow, where the server knows one. */
export async function starterOf(history?: HistoryReader): Promise<string | null> {
  const reader = history ?? historyOfCaller();
  if (reader === null) return null;
  return readable(async () => {
    const first = await reader.first();
    return first === null ? null : principalOf(first);
  });
}

interface Message {
  readonly identity: string;
  readonly payloads: Payloads;
}

function messageOf(event: HistoryEvent, sentBy: SentBy): Message | null {
  return 'signal' in sentBy ? signalOf(event, sentBy.signal) : updateOf(event, sentBy.update);
}

function signalOf({ workflowExecutionSignaledEventAttributes: signal }: HistoryEvent, name: string): Message | null {
  if (signal?.signalName !== name) return null;
  return { identity: signal.identity ?? '', payloads: signal.input?.payloads ?? [] };
}

function updateOf(event: HistoryEvent, id: string): Message | null {
  // After a Reset, the request itself is in the event that admits it again.
  const request =
    event.workflowExecutionUpdateAcceptedEventAttributes?.acceptedRequest ??
    event.workflowExecutionUpdateAdmittedEventAttributes?.request;
  if (!request || request.meta?.updateId !== id) return null;
  return { identity: request.meta.identity ?? '', payloads: request.input?.args?.payloads ?? [] };
}

function carries([payload]: Payloads, says: (raw: unknown) => boolean): boolean {
  if (!payload) return false;
  try {
    return says(defaultPayloadConverter.fromPayload<unknown>(payload));
  } catch {
    return false;
  }
}

function principalOf({ principal }: HistoryEvent): string | null {
  if (!principal?.name) return null;
  return principal.type ? `${principal.type}:${principal.name}` : principal.name;
}

/** Of the workflow that called this activity, whatever its input says. */
function historyOfCaller(): HistoryReader | null {
  const { info, client } = Context.current();
  const execution = info.workflowExecution;
  if (!execution?.runId) return null;
  const { workflowService } = client;
  const { namespace } = client.options;
  return {
    events: () => newestFirst(workflowService, namespace, execution),
    first: async () => {
      const { history } = await workflowService.getWorkflowExecutionHistory({
        namespace,
        execution,
        maximumPageSize: 1,
      });
      return history?.events?.[0] ?? null;
    },
  };
}

async function* newestFirst(service: Service, namespace: string, execution: Execution): AsyncGenerator<HistoryEvent> {
  let nextPageToken: Uint8Array | undefined;
  do {
    const page = await service.getWorkflowExecutionHistoryReverse({
      namespace,
      execution,
      maximumPageSize: PAGE_EVENTS,
      ...(nextPageToken === undefined ? {} : { nextPageToken }),
    });
    yield* page.history?.events ?? [];
    nextPageToken = page.nextPageToken ?? undefined;
  } while (nextPageToken !== undefined && nextPageToken.length > 0);
}

/** A server that is away is asked again by the activity's next attempt. */
async function readable<T>(read: () => Promise<T | null>): Promise<T | null> {
  try {
    return await read();
  } catch (error) {
    const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
    if (code === NOT_FOUND || code === PERMISSION_DENIED || code === UNIMPLEMENTED) return null;
    if (typeof code !== 'number') throw error;
    throw new RepriseError(
      'temporal-unreachable',
      `the history that says who sent it cannot be read: ${error instanceof Error ? error.message : String(error)}`,
      'it is tried again; look at the Temporal server: reprise doctor',
    );
  }
}
