/**
 * Where a job keeps its files:
 *
 *   <stateDir>/jobs/<operation>/<step>[@<plan digest>]/
 *     lock               held with flock by whoever decides, then by wrapper and tool
 *     attempts           one line an attempt
 *     1/ 2/ ...          generations: record.json, pid.json, exit.json, verdict.json, stdout, stderr, wrapper.sh
 *   <stateDir>/locks/    locks of the host, each with the names of its holders beside it (`<lock>@<pid>`)
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';

const SAFE = /^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$/;
const DIGEST_LENGTH = 12;

/** What a job is called, for good: never a run id or activity id, which change on Reset and continue-as-new. */
export function jobKey(operationId: string, step: string, planDigest?: string): string {
  const base = `${operationId}/${step}`;
  return planDigest === undefined ? base : `${base}/${planDigest.slice(0, DIGEST_LENGTH)}`;
}

export function jobsDirectory(stateDir: string): string {
  return join(stateDir, 'jobs');
}

export function operationDirectory(stateDir: string, operationId: string): string {
  return join(jobsDirectory(stateDir), safeName(operationId));
}

export function jobDirectory(stateDir: string, operationId: string, step: string, planDigest?: string): string {
  // No safe name holds an @, so no step can be taken for another step with a digest.
  const suffix = planDigest === undefined ? '' : `@${safeName(planDigest.slice(0, DIGEST_LENGTH))}`;
  return join(operationDirectory(stateDir, operationId), `${safeName(step)}${suffix}`);
}

export function hostLockPath(stateDir: string, name: string): string {
  return join(stateDir, 'locks', safeName(name));
}

/** Files of one generation of a job. */
export interface GenerationPaths {
  readonly directory: string;
  readonly record: string;
  readonly pid: string;
  readonly exit: string;
  readonly verdict: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly wrapper: string;
}

export function generationPaths(jobDirectory: string, generation: number): GenerationPaths {
  const directory = join(jobDirectory, String(generation));
  return {
    directory,
    record: join(directory, 'record.json'),
    pid: join(directory, 'pid.json'),
    exit: join(directory, 'exit.json'),
    verdict: join(directory, 'verdict.json'),
    stdout: join(directory, 'stdout'),
    stderr: join(directory, 'stderr'),
    wrapper: join(directory, 'wrapper.sh'),
  };
}

/**
 * One path segment for any text (F35, F37): safe text as it is, all else a readable remainder and a hash, behind a `~`
 * that no safe name begins with, so that two texts never share a name.
 */
export function safeName(text: string): string {
  if (SAFE.test(text)) return text;
  const remainder = text.replaceAll(/[^A-Za-z0-9_-]+/g, '-').slice(0, 40);
  return `~${remainder}~${createHash('sha256').update(text).digest('hex').slice(0, 20)}`;
}
