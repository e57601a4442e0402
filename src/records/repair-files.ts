import { link, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { AppliedChanges } from '../domain/table/repair.js';
import { makePrivateDirectory } from '../files/directories.js';
import { pathExists } from '../files/paths.js';
import { removeTree } from '../files/remove-tree.js';
import { ledgerFileName } from '../files/safe-names.js';
import { createJsonOnce, readJsonAs, replaceJson } from './state-files.js';

/** What a repair keeps on its host: rows before and after the damage, the change set, how far it came. People's data, its owner's alone. */
export interface RepairFiles {
  readonly directory: string;
  /** Row versions that a transaction touched, by their places. */
  readonly places: string;
  /** Rows before the damage, and after it. */
  readonly good: string;
  readonly bad: string;
  /** Columns of these rows, as the table had them then. */
  readonly columns: string;
  /** Rows that are not the same in a state and in production, where their keys may be equal in another text. */
  readonly candidates: string;
  /** Changes before each was looked up in the table by the server's own rules. */
  readonly found: string;
  /** What is changed. */
  readonly changes: string;
  /** The same for a spreadsheet, once it is done. */
  readonly table: string;
  /** UTC ISO-8601: until then it is kept, so that the repair can be taken back. */
  readonly until: string;
}

const KEPT_DAYS = 30;
const DAY_MS = 86_400_000;
const endFile = z.object({ until: z.string() });
const batchFile = z.object({ xid: z.string(), done: z.custom<AppliedChanges>() });
export type RepairBatch = z.infer<typeof batchFile>;

/** Directory of all repairs on a host. */
export const repairsPlace = (stateDir: string): string => join(stateDir, 'repairs');

/** The files of an operation; their directory is made where it is missing. */
export async function openRepairFiles(stateDir: string, operationId: string): Promise<RepairFiles> {
  const directory = join(repairsPlace(stateDir), ledgerFileName(operationId));
  await makePrivateDirectory(repairsPlace(stateDir));
  await makePrivateDirectory(directory);
  const end = join(directory, 'until.json');
  await createJsonOnce(end, { until: new Date(Date.now() + KEPT_DAYS * DAY_MS).toISOString() });
  const { until = '' } = (await readJsonAs<z.infer<typeof endFile>>(end, endFile)) ?? {};
  const inIt = (name: string): string => join(directory, name);
  return {
    ...{ directory, until, places: inIt('places'), changes: inIt('changes.jsonl') },
    ...{ good: inIt('good.jsonl'), bad: inIt('bad.jsonl'), columns: inIt('columns.json'), found: inIt('found.jsonl') },
    ...{ candidates: inIt('candidates.jsonl'), table: inIt('rows.csv') },
  };
}

/** Whether anything is kept of an operation. */
export const hasRepairFiles = (stateDir: string, operationId: string): Promise<boolean> =>
  pathExists(join(repairsPlace(stateDir), ledgerFileName(operationId)));

/** The transaction of one batch as it was noted before it was committed; null where none was. */
export function readBatch({ directory }: RepairFiles, plan: string, batch: number): Promise<RepairBatch | null> {
  return readJsonAs<RepairBatch>(batchPath(directory, plan, batch), batchFile);
}

/** Notes it, in place of one that was rolled back. */
export function noteBatch({ directory }: RepairFiles, plan: string, batch: number, noted: RepairBatch): Promise<void> {
  return replaceJson(batchPath(directory, plan, batch), noted);
}

const batchPath = (directory: string, plan: string, batch: number): string =>
  join(directory, `batch-${plan.slice(0, 16)}-${batch}.json`);

/** The change set of a plan that was begun: a later plan of the operation has another one, and both are taken back together. */
export const begunChanges = ({ directory }: RepairFiles, plan: string): string =>
  join(directory, `changes-${plan.slice(0, 16)}.jsonl`);

/** Keeps it under that name too. */
export async function keepBegunChanges(files: RepairFiles, plan: string): Promise<void> {
  await link(files.changes, begunChanges(files, plan)).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  });
}

/** Removes the files of repairs whose time is over. */
export async function removeOldRepairs(stateDir: string, now: Date): Promise<void> {
  const place = repairsPlace(stateDir);
  for (const name of await readdir(place).catch(() => [])) {
    const end = await readJsonAs<z.infer<typeof endFile>>(join(place, name, 'until.json'), endFile);
    if (end !== null && Date.parse(end.until) <= now.getTime()) await removeTree(join(place, name));
  }
}
