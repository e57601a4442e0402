import { join } from 'node:path';
import { z } from 'zod';
import { safeFileName } from '../../files/safe-names.js';
import { readJson, replaceJson } from '../../records/state-files.js';

const failing = z.looseObject({ since: z.string().nullable() });
const fileOf = (stateDir: string, cluster: string): string =>
  join(stateDir, 'failing', `${safeFileName(cluster)}.json`);

/** Since when this host's own watch has seen a cluster fail; null where it answers, or nobody watches. */
export async function failingSince(stateDir: string, cluster: string): Promise<string | null> {
  const read = failing.safeParse(await readJson(fileOf(stateDir, cluster)));
  return read.success ? read.data.since : null;
}

/** Kept until the cluster answers: the RTO counts from what this host saw, not from what a client says. */
export async function noteFailing(stateDir: string, cluster: string, since: string): Promise<void> {
  if ((await failingSince(stateDir, cluster)) === null) await replaceJson(fileOf(stateDir, cluster), { since });
}

export async function noteAnswers(stateDir: string, cluster: string): Promise<void> {
  if ((await failingSince(stateDir, cluster)) !== null) await replaceJson(fileOf(stateDir, cluster), { since: null });
}
