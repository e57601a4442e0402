import { join } from 'node:path';
import { z } from 'zod';
import type { TableContent } from '../../domain/drill/content.js';
import type { DrillCheck, DrillRestored, PlannedRestore } from '../../domain/drill/drill.js';
import { compareLsn } from '../../domain/target/wal.js';
import { visible } from '../../domain/text/text.js';
import type { ReadTables } from '../../postgres/content/read-tables.js';
import { readJsonAs, replaceJson } from '../../records/state-files.js';
import type { DrillWork } from './staging.js';

/** So many tables are named in a sentence; the evidence has all. */
const NAMED = 5;

const contentFile = z.looseObject({ tables: z.array(z.looseObject({ database: z.string(), hash: z.string() })) });

/** Keeps what a restore held, for the comparison with the next ones, and for the evidence. */
export async function keepContent({ folder }: DrillWork, restore: number, { tables }: ReadTables): Promise<void> {
  await replaceJson(contentPath(folder.path, restore), { tables });
  const lines = tables.map((one) => `${one.hash.padStart(20)} ${String(one.rows).padStart(12)} ${nameOf(one)}`);
  await folder.keepText(`content/restore-${restore + 1}.txt`, `${lines.join('\n')}\n`);
}

const contentPath = (folder: string, restore: number): string => join(folder, `content-${restore}.json`);

async function readContent({ folder }: DrillWork, restore: number): Promise<readonly TableContent[] | null> {
  const kept = await readJsonAs<{ tables: TableContent[] }>(contentPath(folder.path, restore), contentFile);
  return kept?.tables ?? null;
}

/** One restore of a drill: what was planned, what it reached, and what was in it. */
export interface Restored {
  readonly planned: PlannedRestore;
  readonly reached: DrillRestored | null;
  readonly content: readonly TableContent[] | null;
}

/**
 * Compares the first restore of a data directory with each other restore, table by table: with another engine's at the same place in the
 * WAL every table has to be the same; of dumps, those that are say so, and of the others nobody knows, as the WAL between is not read.
 */
export async function compareRestores(work: DrillWork): Promise<readonly DrillCheck[]> {
  const { plan, folder } = work;
  const restores = await Promise.all(
    plan.restores.map(async (planned, index): Promise<Restored> => ({
      planned,
      reached: await folder.restored(index),
      content: await readContent(work, index),
    })),
  );
  const base = restores.find(({ planned }) => planned.method === 'data-directory');
  if (base === undefined) return [];
  const checks: DrillCheck[] = [];
  for (const other of restores.filter((one) => one !== base)) {
    const began = performance.now();
    const { differences, ...outcome } = compareTwo(base, other);
    const evidence =
      differences.length === 0
        ? {}
        : { evidence: await folder.keepText(`cross-check/${checks.length + 1}.txt`, `${differences.join('\n')}\n`) };
    checks.push({
      ...{ policy: other.planned.policy, name: `cross-check with ${base.planned.policy}`, type: 'cross-check' },
      ...outcome,
      seconds: Math.round(performance.now() - began) / 1000,
      ...evidence,
    });
  }
  return checks;
}

type Compared = Pick<DrillCheck, 'status' | 'detail' | 'hint'> & { readonly differences: readonly string[] };

/** What two restores of one cluster say of each other. */
export function compareTwo(base: Restored, other: Restored): Compared {
  const [one, two] = [base.planned.policy, other.planned.policy];
  const skipped = (detail: string): Compared => ({ status: 'skipped', detail, differences: [] });
  if (base.content === null || other.content === null)
    return skipped(`${one} and ${two} cannot be compared: one of them was not read`);
  const isDump = other.planned.method === 'databases';
  const [first, second] = [base.reached?.lastLsn ?? null, other.reached?.lastLsn ?? null];
  if (!isDump && (first === null || second === null || compareLsn(first, second) !== 0))
    return skipped(
      `${one} reached ${first ?? 'nothing'} and ${two} ${second ?? 'nothing'}: only the same place can be compared`,
    );
  const databases = new Set(other.planned.backups.flatMap(({ database }) => database ?? []));
  const of = (content: readonly TableContent[]): readonly TableContent[] =>
    content.filter(({ database, unlogged }) => unlogged !== true && (!isDump || databases.has(database)));
  const { same, different } = compareTables(of(base.content), of(other.content));
  if (different.length === 0)
    return { status: 'passed', detail: `${one} and ${two} hold the same rows in ${same} tables`, differences: [] };
  if (isDump)
    return {
      status: 'skipped',
      detail: `${one} and ${two} hold the same rows in ${same} tables; ${different.length} differ, and whether transactions between the dump and the target changed them was not tested: ${named(different)}`,
      differences: different,
    };
  return {
    status: 'failed',
    detail: `${one} and ${two}, both at ${first}, differ in ${different.length} of ${same + different.length} tables: ${named(different)}`,
    hint: 'one of the two backups is not what it should be: verify both (reprise backup verify), compare these tables with production, and take new full backups',
    differences: different,
  };
}

/** By name; a partition counts like any table, as both are of one cluster. */
function compareTables(
  one: readonly TableContent[],
  other: readonly TableContent[],
): { readonly same: number; readonly different: readonly string[] } {
  const left = new Map(other.map((table) => [nameOf(table), table]));
  const different: string[] = [];
  let same = 0;
  for (const table of one) {
    const name = nameOf(table);
    const found = left.get(name);
    left.delete(name);
    if (found?.hash === table.hash && found.rows === table.rows) same += 1;
    else
      different.push(found === undefined ? `${name} is in one only` : `${name} (${table.rows} and ${found.rows} rows)`);
  }
  return { same, different: [...different, ...[...left.keys()].map((name) => `${name} is in one only`)] };
}

const nameOf = ({ database, schema, table }: TableContent): string => visible(`${database}: ${schema}.${table}`);

function named(all: readonly string[]): string {
  return `${all.slice(0, NAMED).join('; ')}${all.length > NAMED ? `; and ${all.length - NAMED} more` : ''}`;
}
