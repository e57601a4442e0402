import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { isRepriseError } from '../../domain/errors.js';
import type { LiveServerFacts } from '../../postgres/server/server-facts.js';
import { writeFileAtomic } from '../../files/atomic-file.js';
import { isErrno } from '../../files/paths.js';
import type { BackupRequest, EngineContext } from '../engine.js';
import { parseJson } from '../shared/manifest.js';
import { manifestOf } from './manifest.js';
import { CHOICE, spoolOf } from './names.js';
import { chooseType } from './parent.js';
import type { Choice } from './parent.js';
import { ownDirectory } from './unpack.js';

const choiceSchema = z.object({
  type: z.enum(['full', 'incr']),
  parent: z.string().nullable(),
  instead: z.boolean(),
});

/**
 * What kind of backup an operation makes, chosen by its first attempt and kept beside what that took: a later one would
 * choose otherwise where backups came or went meanwhile, and publish archives as what they are not.
 * @throws RepriseError `not-found`, `backup-corrupt` of a parent that is gone since, and what {@link chooseType} throws
 */
export async function chooseOnce(
  context: EngineContext,
  request: BackupRequest,
  server: LiveServerFacts,
): Promise<Choice> {
  const kept = await readFile(fileOf(context), 'utf8').catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) return null;
    throw error;
  });
  const found = choiceSchema.safeParse(kept === null ? undefined : parseJson(kept));
  // Half a file was written by an attempt that took nothing yet.
  if (!found.success) return keepChoice(context, await chooseType(context, request, server));
  const { type, parent, instead } = found.data;
  return { type, instead, parent: parent === null ? null : await manifestOf(context, parent) };
}

export async function keepChoice(context: EngineContext, choice: Choice): Promise<Choice> {
  const { type, parent, instead = false } = choice;
  const kept = { type, parent: parent?.label ?? null, instead };
  await ownDirectory(context, spoolOf(context));
  await writeFileAtomic(fileOf(context), JSON.stringify(kept), null);
  return choice;
}

/** Whether a failure says that nothing can rest on that parent: `auto` takes a full backup then. */
export function doesNotFit(error: unknown): boolean {
  return (
    isRepriseError(error) && ['no-usable-backup', 'config-invalid', 'backup-corrupt', 'not-found'].includes(error.code)
  );
}

const fileOf = (context: EngineContext): string => join(spoolOf(context), CHOICE);
