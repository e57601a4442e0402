import { open, rm } from 'node:fs/promises';
import { RepriseError } from '../../../domain/errors.js';
import { unlessPassed } from '../../../domain/operation/progress.js';
import type { UploadLine } from '../../../process/jobs/upload-order.js';
import { STORAGE_FAILED, writeUploadOrder } from '../../../process/jobs/upload-order.js';
import { toolEnvironment } from '../../../process/exec/environment.js';
import { isLeaving, type JobResult } from '../../../process/jobs/jobs.js';
import { asUser } from '../../../process/exec/users.js';
import type { WrittenObject } from '../../../storage/storage.js';
import type { EngineContext } from '../../engine.js';
import type { ToolJobRequest } from '../../shared/run-tool-job.js';
import { runToolJob } from '../../shared/run-tool-job.js';
import { LOGICAL_TOOLS } from '../tool-rules.js';
import { STALL_TIMEOUT_MS } from '../tools.js';

/** A program whose output becomes an object of the repository. */
export interface UploadRequest extends Pick<ToolJobRequest, 'step' | 'tool' | 'classifyExit'> {
  readonly argv: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly key: string;
  /** What it does, for people. */
  readonly phase: string;
  readonly totalBytes: number | null;
}

/**
 * Runs a program as a job whose output goes into a repository that has no paths, hashed on the way and past the disks of
 * this host. The uploader around it is the job, so that both outlive the worker; it may read the secrets of the
 * repository and runs as the worker's own user, the program as the job's.
 *
 * @throws RepriseError of the program's failure, or of the storage's
 */
export async function uploadOutput(
  context: EngineContext,
  request: UploadRequest,
): Promise<{ readonly job: JobResult; readonly written: WrittenObject }> {
  const { key } = request;
  const { job, written } = await uploadOnce(context, request);
  const there = await context.storage.stat(key);
  if (written !== undefined && there?.sizeBytes === written.sizeBytes) return { job, written };
  throw new RepriseError(
    'conflict',
    `${key} is not what was uploaded: ${there?.sizeBytes ?? 'no'} bytes where ${written?.sizeBytes ?? 'none'} were sent`,
    'find out which other program writes into the repository',
  );
}

async function uploadOnce(
  context: EngineContext,
  request: UploadRequest,
): Promise<{ readonly job: JobResult; readonly written: WrittenObject | undefined }> {
  const { key, phase, totalBytes } = request;
  const orderFile = await writeOrder(context, request);
  const cleanUp = async (): Promise<void> => {
    await context.storage.abandon(key);
    await context.storage.remove(key);
  };
  try {
    const job = await runToolJob(context.jobs, LOGICAL_TOOLS, {
      step: request.step,
      tool: request.tool,
      argv: [...context.uploader.argv, orderFile],
      // Few threads are busy: an arena of memory for each would cost more than it saves (mallopt(3)).
      env: { MALLOC_ARENA_MAX: '2' },
      user: 'worker',
      onGone: 'restart',
      cleanUp,
      // An earlier attempt's may have been taken away since, as it was found damaged.
      resultIsGone: async () => (await context.storage.stat(key)) === null,
      classifyExit: async (exit) => {
        const { failed } = (exit.code === STORAGE_FAILED ? await lastLine(exit.stdout) : null) ?? {};
        if (failed !== undefined) return new RepriseError(failed.code, failed.message, failed.hint);
        return request.classifyExit?.(exit);
      },
      progress: async ({ stdout }) => {
        const { bytes = 0, waiting } = (await lastLine(stdout)) ?? {};
        return {
          phase: waiting === undefined ? phase : `${phase}: ${waiting}`,
          done: bytes,
          ...unlessPassed(totalBytes, bytes),
          unit: 'bytes',
        };
      },
      stallTimeoutMs: STALL_TIMEOUT_MS,
    });
    const written = (await lastLine(job.stdout))?.written;
    await rm(orderFile, { force: true });
    return { job, written };
  } catch (error) {
    // Where the worker shuts down, the uploader may not have read it yet.
    if (!isLeaving(context)) await rm(orderFile, { force: true });
    throw error;
  }
}

/** All that the uploader needs, in a file of the worker's user alone: arguments and environment can be seen by others. */
function writeOrder(context: EngineContext, { step, key, argv, env }: UploadRequest): Promise<string> {
  const { repository } = context.uploader;
  const { host, operationId, user } = context;
  const order = {
    operationId,
    repository,
    stateDir: host.stateDir,
    key,
    argv: asUser(user, argv),
    env: toolEnvironment(user, env),
    variables: variablesOf(repository.options),
  };
  return writeUploadOrder(host.stateDir, step, order);
}

/** Variables of our own environment that the storage reads: those its secrets refer to, and those of Amazon's tools. */
function variablesOf(options: unknown): Readonly<Record<string, string>> {
  const named = new Set(Object.keys(process.env).filter((name) => name.startsWith('AWS_')));
  const collect = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    if ('env' in value && typeof value.env === 'string') named.add(value.env);
    Object.values(value).forEach(collect);
  };
  collect(options);
  return Object.fromEntries(
    [...named].flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
  );
}

const TAIL_BYTES = 8_192;

/** The newest whole line the uploader wrote. */
async function lastLine(path: string): Promise<UploadLine | null> {
  const file = await open(path, 'r').catch(() => null);
  if (file === null) return null;
  try {
    const { size } = await file.stat();
    const start = Math.max(0, size - TAIL_BYTES);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(size - start), 0, size - start, start);
    const lines = buffer.toString('utf8', 0, bytesRead).split('\n').slice(0, -1);
    return JSON.parse(lines.at(-1) ?? 'null') as UploadLine | null;
  } finally {
    await file.close();
  }
}
