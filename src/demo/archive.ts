import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isSegmentName, parseSegmentName, segmentName } from '../domain/target/wal.js';
import { makeScratchDirectory } from '../postgres/server/scratch-directory.js';
import { runProgram } from '../process/exec/run-program.js';
import type { Scratch } from './scratch.js';

/** Most segments looked through for a commit: business is never longer than a few. */
const SEGMENTS_BACK = 12n;

interface StanzaInfo {
  readonly archive?: readonly { readonly id: string; readonly max: string | null }[];
}

/** Name of the last segment now in the archive, as pgBackRest itself lists it; null where there is none. */
export async function lastArchivedSegment(scratch: Scratch): Promise<string | null> {
  const { stdout } = await pgbackrest(scratch, ['info', '--output=json']);
  const stanzas = JSON.parse(stdout) as readonly StanzaInfo[];
  const ends = stanzas
    .flatMap(({ archive }) => archive ?? [])
    .flatMap(({ max }) => (max !== null && isSegmentName(max) ? [max] : []));
  return ends.sort().at(-1) ?? null;
}

/**
 * Transaction ids committed in the newest segment up to `last` that holds any of `among`, found by fetching the
 * segments from the archive and reading them with pg_waldump: what was safe without the instance, found out without
 * Reprise. Empty where none of the segments before holds one. pgBackRest fetches only for a cluster whose control file
 * is there: after the recovery.
 */
export async function archivedCommits(
  scratch: Scratch,
  last: string,
  among: ReadonlySet<string>,
): Promise<ReadonlySet<string>> {
  const directory = join(scratch.root, 'archive-check');
  await makeScratchDirectory(directory, scratch.user);
  try {
    const { timeline, number } = parseSegmentName(last);
    for (let back = 0n; back < SEGMENTS_BACK && back < number; back++) {
      const name = segmentName({ timeline, number: number - back });
      const path = join(directory, name);
      const { exitCode } = await pgbackrest(scratch, ['archive-get', name, path], [0, 1]);
      if (exitCode !== 0) break;
      const found = (await commitsIn(scratch, path)).filter((xid) => among.has(xid));
      if (found.length > 0) return new Set(found);
    }
    return new Set();
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function commitsIn(scratch: Scratch, segment: string): Promise<string[]> {
  // It ends with 1 where a record goes on in the next segment; that one is not archived and must not count.
  const { stdout } = await runProgram([join(scratch.pgBin, 'pg_waldump'), '--rmgr=Transaction', segment], {
    user: scratch.user,
    acceptCodes: [0, 1],
  });
  return [...stdout.matchAll(/tx:\s+(\d+),.*desc: COMMIT /g)].map((match) => match[1] ?? '');
}

function pgbackrest(scratch: Scratch, args: readonly string[], acceptCodes: readonly number[] = [0]) {
  return runProgram(['pgbackrest', `--config=${scratch.pgbackrestConf}`, `--stanza=${scratch.stanza}`, ...args], {
    user: scratch.user,
    acceptCodes,
  });
}
