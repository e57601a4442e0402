import { join } from 'node:path';
import { z } from 'zod';
import type { PlannedRestore } from '../domain/drill/drill.js';
import { createJsonOnce, jsonFilesIn, readJsonAs, removeState, replaceJson } from './state-files.js';
import { sha256Hex } from './digest.js';

/**
 * A restored copy of a cluster that runs for one operation, in a directory of its own, and is removed again: whose it is, and until
 * when.
 */
export interface TemporaryInstance {
  readonly dataDir: string;
  /** `scratch`: its directory is made for it and removed with it; `staging`: a marked directory, which is emptied. */
  readonly kind: 'scratch' | 'staging';
  readonly cluster: string;
  readonly operationId: string;
  /** Null where no workflow asked for it. */
  readonly workflowId: string | null;
  /** The execution that the workflow's run descends from; null: not known. */
  readonly firstRunId: string | null;
  /** UTC ISO-8601. */
  readonly madeAt: string;
  /** When it is removed although its operation goes on, UTC ISO-8601; null: with its operation. */
  readonly expiresAt: string | null;
  /** Major version of its server. */
  readonly major: number | null;
  /** How often its directory was emptied: jobs of what was in it before are not taken for those of what is in it now. */
  readonly generation: number;
  /** Of an instance that people or steps of its operation work with, what it is; absent: the operation keeps that itself. */
  readonly content?: InstanceContent;
}

/** What a temporary instance is restored from and stands at, and why it is there. */
export interface InstanceContent {
  /** Which one of its operation. */
  readonly instance: string;
  /** `explore`: for people, counted against the most that a host has; `step`: for the operation's own steps. */
  readonly purpose: 'explore' | 'step';
  readonly restore: PlannedRestore;
  /** Asserted. */
  readonly requester: string;
  readonly neededBytes: number;
  readonly freeBytes: number;
  readonly ttlSeconds: number | null;
  readonly warnings: readonly string[];
  /** When it first ran, UTC ISO-8601; null: not yet. */
  readonly openedAt: string | null;
  /** In which boot of the host its server was started last; absent: it never was. */
  readonly boot?: string;
  /** Where that server stands; absent: it has not come there yet. */
  readonly standsAt?: string;
  /** Its recovery was ended, so that what transactions under way had locked can be read: it goes no further. */
  readonly ended?: true;
}

/** The temporary instances of one host, by their directories. */
export interface TemporaryInstances {
  /** Takes a directory; returns whose it is now. */
  claim(instance: TemporaryInstance): Promise<TemporaryInstance>;
  at(dataDir: string): Promise<TemporaryInstance | null>;
  /** Replaces what is known of an instance that is claimed. */
  update(instance: TemporaryInstance): Promise<void>;
  /** Nothing of it is left. */
  release(dataDir: string): Promise<void>;
  all(): Promise<readonly TemporaryInstance[]>;
}

const instanceFile = z.looseObject({
  dataDir: z.string(),
  kind: z.enum(['scratch', 'staging']),
  cluster: z.string(),
  operationId: z.string(),
  workflowId: z.string().nullable(),
  firstRunId: z.string().nullable(),
  madeAt: z.string(),
  expiresAt: z.string().nullable(),
  major: z.number().nullable(),
  generation: z.number(),
  content: z
    .looseObject({
      instance: z.string(),
      purpose: z.enum(['explore', 'step']),
      restore: z.looseObject({ policy: z.string(), method: z.enum(['data-directory', 'databases']) }),
      openedAt: z.string().nullable(),
    })
    .optional(),
});

export function openTemporaryInstances(stateDir: string): TemporaryInstances {
  const directory = join(stateDir, 'temporary');
  const fileOf = (dataDir: string) => join(directory, `${sha256Hex(dataDir).slice(0, 32)}.json`);
  const at = (dataDir: string) => readJsonAs<TemporaryInstance>(fileOf(dataDir), instanceFile);
  return {
    at,
    async claim(instance) {
      const isMine = await createJsonOnce(fileOf(instance.dataDir), instance);
      return isMine ? instance : ((await at(instance.dataDir)) ?? instance);
    },
    update: (instance) => replaceJson(fileOf(instance.dataDir), instance),
    release: (dataDir) => removeState(fileOf(dataDir)),
    async all() {
      const found = await Promise.all(
        (await jsonFilesIn(directory)).map((name) =>
          readJsonAs<TemporaryInstance>(join(directory, name), instanceFile),
        ),
      );
      return found.filter((instance) => instance !== null);
    },
  };
}
