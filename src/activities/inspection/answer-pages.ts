import { randomUUID } from 'node:crypto';
import { readFile, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { RepriseError } from '../../domain/errors.js';
import type { PagedAnswer } from '../../domain/operation/inspections.js';
import { writeFileAtomic } from '../../files/atomic-file.js';
import { makePrivateDirectory } from '../../files/directories.js';
import { isErrno } from '../../files/paths.js';
import { hostOf } from '../config-lookup.js';
import type { HostDependencies } from '../dependencies.js';

/** Temporal warns of payloads of 256 kB and refuses those of more than 2 MB; a character takes up to three bytes and an escape. */
export const PAGE_CHARS = 60_000;
/** Of an answer whose pages nobody reads any more. */
const KEPT_MS = 15 * 60_000;
const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The answer itself, or, where it is too long for one payload, where its pages are. */
export async function inPages(deps: HostDependencies, answer: unknown): Promise<unknown> {
  const text = JSON.stringify(answer);
  if (text.length <= PAGE_CHARS) return answer;
  const directory = answersOf(deps);
  await makePrivateDirectory(directory);
  await removeOld(directory);
  const id = randomUUID();
  await writeFileAtomic(join(directory, `${id}.json`), text);
  return { paged: { host: deps.host, id, pages: Math.ceil(text.length / PAGE_CHARS) } } satisfies PagedAnswer;
}

/** One page of an answer, counted from 0. @throws RepriseError `not-found` when its time is over */
export async function pageOf(deps: HostDependencies, id: string, page: number): Promise<string> {
  const text = ID.test(id) ? await readFile(join(answersOf(deps), `${id}.json`), 'utf8').catch(ifMissing) : null;
  if (text === null)
    throw new RepriseError('not-found', `there is no answer ${id.slice(0, 36)} any more`, 'run the command again');
  return text.slice(page * PAGE_CHARS, (page + 1) * PAGE_CHARS);
}

const answersOf = (deps: HostDependencies): string => join(hostOf(deps).stateDir, 'answers');

async function removeOld(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    const file = join(directory, name);
    const writtenAt = await stat(file).then(({ mtimeMs }) => mtimeMs, ifMissing);
    if (writtenAt !== null && Date.now() - writtenAt > KEPT_MS) await rm(file, { force: true });
  }
}

function ifMissing(error: unknown): null {
  if (isErrno(error, 'ENOENT')) return null;
  throw error;
}
