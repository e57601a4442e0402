import { join } from 'node:path';
import { z } from 'zod';
import { sha256Hex } from './digest.js';
import { jsonFilesIn, readJsonAs, removeState, replaceJson } from './state-files.js';

/** A hook of an approved plan that was begun, and that another hook takes back. */
export interface RunHook {
  readonly cluster: string;
  readonly operationId: string;
  readonly workflowId: string;
  /** The execution that the workflow's run descends from; null: not known. */
  readonly firstRunId: string | null;
  /** Digest of the plan. */
  readonly plan: string;
  readonly hook: string;
  /** The hook that takes it back. */
  readonly undo: string;
  /** SHA-256 of what that one runs, as the configuration said when the hook was begun. */
  readonly undoDigest: string;
  /** UTC ISO-8601. */
  readonly at: string;
  /** Of the sweep, after the operation has ended without taking it back. */
  readonly tries: number;
  /** The sweep tries again then, UTC ISO-8601; null: at once, or never more where there is a problem. */
  readonly nextAt: string | null;
  /** Why it is not taken back; null: nobody has tried in vain. */
  readonly problem: string | null;
}

const runHookFile = z.looseObject({
  cluster: z.string(),
  operationId: z.string(),
  workflowId: z.string(),
  firstRunId: z.string().nullable(),
  plan: z.string(),
  hook: z.string(),
  undo: z.string(),
  undoDigest: z.string(),
  at: z.string(),
  tries: z.number(),
  nextAt: z.string().nullable(),
  problem: z.string().nullable(),
});

/** The hooks of a host that are still to be taken back. */
export interface RunHooks {
  of(operationId: string, hook: string): Promise<RunHook | null>;
  save(hook: RunHook): Promise<void>;
  remove(operationId: string, hook: string): Promise<void>;
  all(): Promise<readonly RunHook[]>;
}

export function openRunHooks(stateDir: string): RunHooks {
  const directory = join(stateDir, 'hooks');
  const fileOf = (operationId: string, hook: string): string =>
    join(directory, `${sha256Hex(JSON.stringify([operationId, hook])).slice(0, 32)}.json`);
  return {
    of: (operationId, hook) => readJsonAs<RunHook>(fileOf(operationId, hook), runHookFile),
    save: (one) => replaceJson(fileOf(one.operationId, one.hook), one),
    remove: (operationId, hook) => removeState(fileOf(operationId, hook)),
    async all() {
      const names = await jsonFilesIn(directory);
      const found = await Promise.all(names.map((name) => readJsonAs<RunHook>(join(directory, name), runHookFile)));
      return found.filter((one) => one !== null);
    },
  };
}
