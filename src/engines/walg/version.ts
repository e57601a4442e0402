import { runProgram } from '../../process/exec/run-program.js';
import { requireProgram } from '../../process/exec/find-programs.js';
import { optionsOf } from './command.js';
import type { ToolContext } from '../shared/tool-config.js';

/** What this WAL-G can do. */
export interface WalgVersion {
  /** As it calls itself; `devel` for one built without a version. */
  readonly text: string;
  /** `[major, minor, patch]`; null for one built without a version. */
  readonly number: readonly [number, number, number] | null;
  /** `delete target`, by which any backup can go and not only the oldest ones (1.0). */
  readonly deletesByTarget: boolean;
  /** `delete garbage`, which takes the WAL that is left over after that (1.1). */
  readonly deletesGarbage: boolean;
}

/** Asks the program itself, and its help where it was built without a version. */
export async function readVersion(context: ToolContext): Promise<WalgVersion> {
  const program = await requireProgram(optionsOf(context).binary);
  const run = async (...args: string[]): Promise<string> =>
    (await runProgram([program, ...args], { user: context.user })).stdout;
  return parseVersion(await run('--version'), await run('delete', '--help'));
}

export function parseVersion(version: string, deleteHelp: string): WalgVersion {
  const [, major, minor, patch] = /\bv?(\d+)\.(\d+)(?:\.(\d+))?/.exec(version) ?? [];
  return {
    text: version.replace(/\s+/g, ' ').trim(),
    number: major === undefined ? null : [Number(major), Number(minor), Number(patch ?? 0)],
    deletesByTarget: /^\s+target\b/m.test(deleteHelp),
    deletesGarbage: /^\s+garbage\b/m.test(deleteHelp),
  };
}

/** Whether it ends a backup of PostgreSQL 15 and later, whose functions have other names (2.0.1). */
export function knowsPostgres15({ number, deletesByTarget }: WalgVersion): boolean {
  if (number === null) return deletesByTarget;
  const [major, minor, patch] = number;
  return major > 2 || (major === 2 && (minor > 0 || patch >= 1));
}
