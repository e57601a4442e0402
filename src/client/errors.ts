import { errorTable, fromSystemError, isRepriseError, RepriseError } from '../domain/errors.js';
import type { ErrorCode } from '../domain/errors.js';
import { timeoutInWords } from '../domain/operation/time-outs.js';

const LOOK_AT_HISTORY = 'look at the history of the workflow in the Web UI';
/** Codes of gRPC's own table that mean that the server did not answer. */
const GRPC_NOT_FOUND = 5;
const GRPC_PERMISSION_DENIED = 7;
const GRPC_UNAUTHENTICATED = 16;
const GRPC_UNREACHABLE = new Set([4, 14]);
const GRPC_FAILED_PRECONDITION = 9;

/** What the server says of a query where no worker of the workflow's own build polls, at once. */
export function isWithoutPoller({ code, details }: { readonly code?: unknown; readonly details?: unknown }): boolean {
  return code === GRPC_FAILED_PRECONDITION && String(details).startsWith('no poller seen');
}

/**
 * Any failure as an entry of the one error table. Errors are recognised by name and shape, never by `instanceof`: the
 * Temporal client is loaded only by the commands that need it, and jest's realms differ.
 */
export function toRepriseError(error: unknown): RepriseError {
  if (isRepriseError(error)) return error;
  const chain = causes(error);
  for (const link of chain) {
    const known = fromTemporal(link, chain);
    if (known !== undefined) return known;
  }
  const refused = fromSystemError(error);
  if (refused !== undefined) return refused;
  const message = error instanceof Error || hasMessage(error) ? error.message : String(error);
  return new RepriseError(
    'internal',
    message,
    'this is not expected: run again with REPRISE_DEBUG=1 for the stack, and report it',
  );
}

function fromTemporal(link: Link, chain: readonly Link[]): RepriseError | undefined {
  switch (link.name) {
    case 'ApplicationFailure':
      return fromApplicationFailure(link, chain);
    case 'CancelledFailure':
      return new RepriseError('job-cancelled', 'the operation was cancelled', 'start it again when you want it done');
    case 'TerminatedFailure':
      return new RepriseError(
        'job-cancelled',
        'the operation was terminated',
        'look at its history in the Web UI, then start it again',
      );
    case 'TimeoutFailure':
      return fromTimeout(link, chain);
    case 'WorkflowExecutionAlreadyStartedError':
      return new RepriseError(
        'conflict',
        `${String(link['workflowId'])} is already running`,
        `follow it with \`reprise watch ${String(link['workflowId'])}\``,
      );
    case 'WorkflowNotFoundError':
      return new RepriseError('not-found', workflowMissing(link), 'see what is running: `reprise status`');
    case 'ScheduleNotFoundError':
      return new RepriseError(
        'not-found',
        `there is no schedule ${String(link['scheduleId'])}`,
        'see `reprise schedule list`, or create it with `reprise schedule apply`',
      );
    case 'NamespaceNotFoundError':
      return new RepriseError(
        'not-found',
        `Temporal has no namespace ${String(link['namespace'])}`,
        'set TEMPORAL_NAMESPACE, or create the namespace',
      );
    case 'WorkflowUpdateRPCTimeoutOrCancelledError':
      return new RepriseError(
        'host-without-worker',
        'no worker answered in time; the decision may still be carried out later',
        'see the state with `reprise status`; check that a worker is running',
      );
    default:
      return fromGrpc(link);
  }
}

/** Of a step, or of the whole workflow, which somebody gave a limit. */
function fromTimeout(link: Link, chain: readonly Link[]): RepriseError {
  if (chain.some(({ name }) => name === 'ActivityFailure')) {
    const { code, message, hint } = timeoutInWords(link['timeoutType'], link.message);
    return new RepriseError(code, message, hint ?? LOOK_AT_HISTORY);
  }
  return new RepriseError(
    'job-stalled',
    `the operation timed out: ${link.message}`,
    'look at its history in the Web UI, then start it again',
  );
}

/** The innermost failure that carries one of our codes says most; Temporal wraps it once an activity and a child. */
function fromApplicationFailure(link: Link, chain: readonly Link[]): RepriseError | undefined {
  const coded = chain.findLast(
    (candidate) => candidate.name === 'ApplicationFailure' && isErrorCode(candidate['type']),
  );
  if (coded !== undefined) return withHint(coded['type'] as ErrorCode, coded.message, hintOf(coded));
  const innermost = chain.findLast((candidate) => candidate.name === 'ApplicationFailure') ?? link;
  return new RepriseError('internal', innermost.message, LOOK_AT_HISTORY);
}

function fromGrpc(link: Link): RepriseError | undefined {
  const code = link['code'];
  if (typeof code !== 'number' || !('details' in link)) return undefined;
  const details = String(link['details'] ?? link.message);
  if (GRPC_UNREACHABLE.has(code)) {
    return new RepriseError(
      'temporal-unreachable',
      `Temporal does not answer: ${details}`,
      'start it: `reprise up`; or set TEMPORAL_ADDRESS to the one that is running',
    );
  }
  if (code === GRPC_PERMISSION_DENIED || code === GRPC_UNAUTHENTICATED) {
    return new RepriseError(
      'temporal-unreachable',
      `Temporal refuses this client: ${details}`,
      'check TEMPORAL_API_KEY, the TLS files and the namespace',
    );
  }
  if (isWithoutPoller({ code, details })) {
    return new RepriseError(
      'host-without-worker',
      `no worker answers for it: ${details}`,
      'start a worker: `reprise worker`; after an upgrade, one of the current build continues it within two minutes',
    );
  }
  if (code === GRPC_NOT_FOUND) {
    return new RepriseError(
      'not-found',
      `Temporal did not find it: ${details}`,
      'see what is running: `reprise status`',
    );
  }
  return undefined;
}

/** Splits a message that carries its hint (`explain`) back into sentence and hint. */
function withHint(code: ErrorCode, text: string, hint?: string): RepriseError {
  const [message = text, ...hints] = text.split('HINT: ');
  return new RepriseError(code, message.trim(), hint ?? (hints.join(' ').trim() || LOOK_AT_HISTORY));
}

/** Workflows and activities put the hint into the failure's first detail. */
function hintOf(link: Link): string | undefined {
  const details = link['details'];
  const first: unknown = Array.isArray(details) ? details[0] : undefined;
  const hint = typeof first === 'object' && first !== null ? (first as { hint?: unknown }).hint : undefined;
  return typeof hint === 'string' && hint !== '' ? hint : undefined;
}

function workflowMissing(link: Link): string {
  const id = link['workflowId'];
  return typeof id === 'string' && id !== ''
    ? `there is no workflow ${id}`
    : 'this workflow is not running, or there is none with this id';
}

function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && Object.hasOwn(errorTable, value);
}

interface Link extends Record<string, unknown> {
  name: string;
  message: string;
}

function causes(error: unknown): Link[] {
  const chain: Link[] = [];
  let current = error;
  while (hasMessage(current) && chain.length < 20) {
    chain.push(current as unknown as Link);
    current = (current as { cause?: unknown }).cause;
  }
  return chain;
}

function hasMessage(value: unknown): value is { message: string } {
  return typeof value === 'object' && value !== null && typeof (value as { message?: unknown }).message === 'string';
}
