/** The small JSON files of a generation. One that is half written or not ours is treated as absent. */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';

const text = z.string().min(1);
const pid = z.number().int().positive();
const startTime = z.number().int().nonnegative();

/** Written before the tool is started: what is to run. No secret. */
const jobRecord = z.object({
  version: z.literal(1),
  key: text,
  operationId: text,
  step: text,
  planDigest: text.optional(),
  tool: text,
  argv: z.array(z.string()).min(1),
  /** Of command, environment and user, where another one has to take their place. */
  commandDigest: text.optional(),
  /** What its result is put into, where that may be gone later. */
  resultIn: text.optional(),
  /** Its stdout is a log. Absent: it may be data. */
  logsOnStdout: z.literal(true).optional(),
  generation: z.number().int().positive(),
  createdAt: text,
});
export type JobRecord = z.infer<typeof jobRecord>;

/** Written by the process that becomes the tool, just before it does: whoever has one was started. */
const pidRecord = z.object({
  key: text,
  tool: text,
  pid,
  startTime,
  bootId: text,
  startedAt: text,
  wrapper: z.object({ pid, startTime }),
});
export type PidRecord = z.infer<typeof pidRecord>;

/** Written by the wrapper when the tool has ended: a shell's exit code, 128 + n for signal n. */
const exitRecord = z.object({ code: z.number().int().nonnegative(), finishedAt: text });
export type ExitRecord = z.infer<typeof exitRecord>;

/** Written once, by an attempt: what the ending means. The first one counts. */
const verdict = z.object({
  verdict: z.enum(['ok', 'retry', 'fail']),
  /** `passing`: judged too, and the start does not count towards the most there may be. */
  reason: z.enum(['judged', 'passing', 'stalled', 'cancelled', 'outdated']),
  at: text,
});
export type VerdictRecord = z.infer<typeof verdict>;

/** Names one holder of a lock. */
const lockHolder = z.object({ key: text, tool: text, pid, startTime, bootId: text, startedAt: text });
export type FileLockHolder = z.infer<typeof lockHolder>;

export const readJobRecord = (path: string): Promise<JobRecord | null> => readJson(path, jobRecord);
export const readPid = (path: string): Promise<PidRecord | null> => readJson(path, pidRecord);
export const readExit = (path: string): Promise<ExitRecord | null> => readJson(path, exitRecord);
export const readVerdict = (path: string): Promise<VerdictRecord | null> => readJson(path, verdict);
export const readHolder = (path: string): Promise<FileLockHolder | null> => readJson(path, lockHolder);

async function readJson<T>(path: string, schema: z.ZodType<T>): Promise<T | null> {
  const content = await readFile(path, 'utf8').catch(() => undefined);
  if (content === undefined) return null;
  try {
    return schema.parse(JSON.parse(content));
  } catch {
    return null;
  }
}
