import { z } from 'zod';
import type { WrittenCanary } from '../domain/drill/canary.js';
import { isRepriseError } from '../domain/errors.js';
import type { ReadableStorage, WritableStorage } from '../storage/storage.js';

/** So many days before a restore's instant are looked through for the newest row. */
const DAYS_BACK = 2;
const DAY_MS = 86_400_000;

const instant = z.string().regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
const line = z.object({
  n: z.int().positive(),
  at: instant,
  committedAt: instant.optional(),
  lsn: z.string().regex(/^[0-9A-F]{1,8}\/[0-9A-F]{1,8}$/),
  token: z.string().regex(/^[0-9a-f]{32}$/),
}) satisfies z.ZodType<WrittenCanary>;

/** One file a day beside the records of the cluster: what was written outlives the cluster, and a staging host reads it. */
const keyOf = (cluster: string, day: string): string => `${cluster}/canary/${day}.jsonl`;

/** Notes a row that was written; one worker writes at a time. */
export async function noteCanary(storage: WritableStorage, cluster: string, row: WrittenCanary): Promise<void> {
  const key = keyOf(cluster, row.at.slice(0, 10));
  await storage.write(key, `${await textOf(storage, key)}${JSON.stringify(row)}\n`);
}

/** Rows noted in the days up to an instant, in the order in which they were written. */
export async function readCanaryLog(
  storage: ReadableStorage,
  cluster: string,
  until: Date,
): Promise<readonly WrittenCanary[]> {
  const rows: WrittenCanary[] = [];
  for (let back = DAYS_BACK; back >= 0; back--) {
    const day = new Date(until.getTime() - back * DAY_MS).toISOString().slice(0, 10);
    rows.push(...parse(await textOf(storage, keyOf(cluster, day))));
  }
  return rows;
}

async function textOf(storage: ReadableStorage, key: string): Promise<string> {
  try {
    return (await storage.read(key)).toString('utf8');
  } catch (error) {
    if (isRepriseError(error) && error.code === 'not-found') return '';
    throw error;
  }
}

/** What is no line of ours says nothing. */
function parse(text: string): readonly WrittenCanary[] {
  return text.split('\n').flatMap((one) => {
    try {
      return [line.parse(JSON.parse(one))];
    } catch {
      return [];
    }
  });
}
