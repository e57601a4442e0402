import { constants } from 'node:os';
import { RepriseError } from '../../domain/errors.js';
import type { JobExit } from './jobs.js';
import type { JobState } from './job-state.js';
import { tailOfFile, errorLine } from '../../files/tail.js';

type Failed = Extract<JobState, { kind: 'ended' | 'gone' }>;

interface Names {
  readonly key: string;
  readonly tool: string;
}

/** A shell's exit code taken apart: 128 + n stands for signal n. */
export function exitOf(state: Extract<JobState, { kind: 'ended' }>): JobExit {
  const { directory, stdout, stderr } = state.paths;
  const { code } = state.exit;
  const signal = Object.entries(constants.signals).find(([, number]) => number === code - 128)?.[0] ?? null;
  return { directory, stdout, stderr, code: signal === null ? code : null, signal };
}

/** A failure after which another start may succeed. */
export async function retryableFailure(names: Names, state: Failed): Promise<RepriseError> {
  const { sentence, details } = await describe(names, state);
  const stalled = state.verdict?.reason === 'stalled';
  return new RepriseError(
    stalled ? 'job-stalled' : 'tool-failed',
    stalled ? `${names.tool} made no progress and was ended` : sentence,
    `The next attempt starts it again; all it printed is in ${state.paths.directory} on this host.`,
    details,
  );
}

/** A failure after which nothing is started under this key any more. */
export async function finalFailure(names: Names, state: Failed, why: 'by-exit' | 'too-often'): Promise<RepriseError> {
  const { sentence, details } = await describe(names, state);
  const times = why === 'too-often' ? `${names.tool} was started ${state.starts} times and is not started again: ` : '';
  return new RepriseError(
    'tool-rejected',
    `${times}${sentence}`,
    `Read ${state.paths.stderr} on this host, correct the cause, then start a new operation.`,
    details,
  );
}

async function describe(names: Names, state: Failed): Promise<{ sentence: string; details: Record<string, unknown> }> {
  const stderrTail = await tailOfFile(state.paths.stderr);
  const line = errorLine(stderrTail);
  const exit = state.kind === 'ended' ? exitOf(state) : undefined;
  return {
    sentence: `${names.tool} ${ending(exit)}${line === '' ? '' : `: ${line}`}`,
    details: {
      key: names.key,
      code: exit?.code ?? null,
      signal: exit?.signal ?? null,
      starts: state.starts,
      stderrTail,
    },
  };
}

function ending(exit: JobExit | undefined): string {
  if (exit === undefined) return 'is gone and left no exit code';
  return exit.signal === null ? `exited with ${exit.code}` : `was ended by ${exit.signal}`;
}
