/**
 * Where a job keeps its files:
 *
 *   <stateDir>/jobs/<operation>/<step>[@<plan digest>]/
 *     lock               held with flock by whoever decides, then by wrapper and tool
 *     attempts           one line an attempt
 *     1/ 2/ ...          generations: record.json, pid.json, exit.json, verdict.json, stdout, stderr, wrapper.sh
 *   <stateDir>/locks/    locks of the host, each with the names of its holders beside it (`<lock>@<pid>`)
 */
import { join } from 'node:path';
import { safeFileName } from '../../files/safe-names.js';

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
  return join(jobsDirectory(stateDir), safeFileName(operationId));
}

export function jobDirectory(stateDir: string, operationId: string, step: string, planDigest?: string): string {
  // No safe name holds an @, so no step can be taken for another step with a digest.
  const suffix = planDigest === undefined ? '' : `@${safeFileName(planDigest.slice(0, DIGEST_LENGTH))}`;
  return join(operationDirectory(stateDir, operationId), `${safeFileName(step)}${suffix}`);
}

export function hostLockPath(stateDir: string, name: string): string {
  return join(stateDir, 'locks', safeFileName(name));
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
