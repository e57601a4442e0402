import { describe, expect, it } from '@jest/globals';
import { toFailure } from '../../../src/activities/activity-wrapper.js';
import { reportError } from '../../../src/cli/report-error.js';
import { toRepriseError } from '../../../src/client/errors.js';
import { errorTable, explain, RepriseError } from '../../../src/domain/errors.js';
import type { ErrorCode } from '../../../src/domain/errors.js';
import type { Terminal } from '../../../src/cli/terminal/terminal.js';
import { golden } from '../../helpers/golden.js';
import { section } from '../../helpers/shape.js';

const codes = Object.keys(errorTable) as ErrorCode[];

/** What the command line says of an error under `--json`, and the exit code. */
async function told(error: unknown): Promise<{ exit: number; stderr: string }> {
  let stderr = '';
  const terminal: Partial<Terminal> = { env: {}, err: (text) => (stderr += text) };
  const exit = await reportError(terminal as Terminal, 'json', error);
  return { exit, stderr };
}

/** An error as Temporal's client throws it: told by its name and fields. */
function foreign(name: string, fields: Record<string, unknown> = {}): Error {
  const { message = 'what happened', ...rest } = fields;
  return Object.assign(new Error(String(message)), { name, ...rest });
}

describe('errors keep their codes', () => {
  it('every code has its exit code, and says whether another attempt can help', async () => {
    const lines = codes.map((code) => `${code}: ${JSON.stringify(errorTable[code])}`).toSorted();
    const made = section('code: fields of the one table of errors', lines);
    expect(made).toBe(await golden(new URL('errors.golden.txt', import.meta.url), made));
  });

  it('the command line ends with the exit code of the table and tells code, message and next step in one JSON document', async () => {
    const documents: string[] = [];
    for (const code of codes.toSorted()) {
      const { exit, stderr } = await told(new RepriseError(code, 'what happened'));
      documents.push(`exit ${exit}: ${stderr.trimEnd()}`);
    }
    const made = section('an error without a hint of its own, under --json', documents);
    expect(made).toBe(await golden(new URL('errors-told.golden.txt', import.meta.url), made));
  });

  it('a code travels through a Temporal failure unchanged', async () => {
    const lines = codes.toSorted().map((code) => {
      const failure = toFailure(new RepriseError(code, 'what happened', 'what to do'));
      const back = toRepriseError(
        foreign('WorkflowFailedError', {
          cause: foreign('ApplicationFailure', { type: failure.type, details: failure.details }),
        }),
      );
      return `${code}: type ${failure.type}, nonRetryable ${failure.nonRetryable}, details ${JSON.stringify(failure.details)}, back as ${back.code} (${back.hint})`;
    });
    const made = section('code: as a failure of an activity, and as the client reads it', lines);
    expect(made).toBe(await golden(new URL('errors-failures.golden.txt', import.meta.url), made));
  });

  it('every error of Temporal and of gRPC has the code that the client has always given it', async () => {
    const samples: readonly (readonly [string, Error])[] = [
      ['CancelledFailure', foreign('CancelledFailure')],
      ['TerminatedFailure', foreign('TerminatedFailure')],
      ['TimeoutFailure', foreign('TimeoutFailure')],
      ...['HEARTBEAT', 'SCHEDULE_TO_START', 'START_TO_CLOSE'].map(
        (timeoutType) =>
          [
            `TimeoutFailure of an activity, ${timeoutType}`,
            foreign('ActivityFailure', { cause: foreign('TimeoutFailure', { timeoutType }) }),
          ] as const,
      ),
      ['WorkflowExecutionAlreadyStartedError', foreign('WorkflowExecutionAlreadyStartedError', { workflowId: 'W' })],
      ['WorkflowNotFoundError', foreign('WorkflowNotFoundError', { workflowId: 'W' })],
      ['WorkflowNotFoundError without an id', foreign('WorkflowNotFoundError')],
      ['ScheduleNotFoundError', foreign('ScheduleNotFoundError', { scheduleId: 'S' })],
      ['NamespaceNotFoundError', foreign('NamespaceNotFoundError', { namespace: 'N' })],
      ['WorkflowUpdateRPCTimeoutOrCancelledError', foreign('WorkflowUpdateRPCTimeoutOrCancelledError')],
      ['ApplicationFailure of a type that is no code', foreign('ApplicationFailure', { type: 'TypeError' })],
      ...Array.from({ length: 17 }, (_, code) => [`gRPC ${code}`, foreign('Error', { code, details: 'D' })] as const),
      ['any other', foreign('Error')],
    ];
    const lines = samples.map(([name, error]) => {
      const { code, message, hint } = toRepriseError(error);
      return `${name}: ${JSON.stringify({ code, message, hint })}`;
    });
    const made = section('error: as the client tells it', lines);
    expect(made).toBe(await golden(new URL('errors-foreign.golden.txt', import.meta.url), made));
  });

  it('message and hint make one text in one form', () => {
    expect(explain({ message: 'what happened', hint: 'what to do' })).toBe('what happened\nHINT: what to do');
  });
});
