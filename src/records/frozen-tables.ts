import { join } from 'node:path';
import { z } from 'zod';
import type { FreezeMeans } from '../domain/table/repair.js';
import type { TableName } from '../domain/table/table-name.js';
import { sha256Hex } from './digest.js';
import { jsonFilesIn, readJsonAs, removeState, replaceJson } from './state-files.js';

/** A table whose writes an operation blocks, with all that is needed to open them again. */
export interface FrozenTable {
  readonly cluster: string;
  readonly operationId: string;
  readonly workflowId: string;
  /** The execution that the workflow's run descends from; null: not known. */
  readonly firstRunId: string | null;
  readonly database: string;
  readonly table: TableName;
  readonly means: FreezeMeans;
  /** Since when, UTC ISO-8601. */
  readonly at: string;
  /** When its operation opens it by itself, UTC ISO-8601; null or absent: when that ends, or somebody releases it. */
  readonly until?: string | null;
  /** The table and its partitions. */
  readonly oids: readonly number[];
  /** Rights that were taken away. */
  readonly taken: readonly z.infer<typeof takenRight>[];
  /** It is being opened: the operation needs the block no more. */
  readonly opening?: true;
}

const takenRight = z.object({
  oid: z.number(),
  column: z.string().nullable(),
  privilege: z.string(),
  grantor: z.string(),
  grantee: z.string().nullable(),
  grantable: z.boolean(),
});

const frozenFile = z.looseObject({
  cluster: z.string(),
  operationId: z.string(),
  workflowId: z.string(),
  firstRunId: z.string().nullable(),
  database: z.string(),
  table: z.object({ schema: z.string(), table: z.string() }),
  means: z.looseObject({ by: z.enum(['trigger', 'revoke']) }),
  at: z.string(),
  until: z.string().nullable().optional(),
  oids: z.array(z.number()),
  taken: z.array(takenRight),
  opening: z.literal(true).optional(),
});

/** The tables that a host keeps frozen, one for each operation. */
export interface FrozenTables {
  of(operationId: string): Promise<FrozenTable | null>;
  save(frozen: FrozenTable): Promise<void>;
  release(operationId: string): Promise<void>;
  all(): Promise<readonly FrozenTable[]>;
}

export function openFrozenTables(stateDir: string): FrozenTables {
  const directory = join(stateDir, 'frozen');
  const fileOf = (operationId: string): string => join(directory, `${sha256Hex(operationId).slice(0, 32)}.json`);
  return {
    of: (operationId) => readJsonAs<FrozenTable>(fileOf(operationId), frozenFile),
    save: (frozen) => replaceJson(fileOf(frozen.operationId), frozen),
    release: (operationId) => removeState(fileOf(operationId)),
    async all() {
      const names = await jsonFilesIn(directory);
      const found = await Promise.all(names.map((name) => readJsonAs<FrozenTable>(join(directory, name), frozenFile)));
      return found.filter((one) => one !== null);
    },
  };
}
