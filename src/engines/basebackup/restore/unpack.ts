import { RepriseError } from '../../../domain/errors.js';
import { makeOwnDirectory } from '../../../files/trusted-paths.js';
import type { JobRequest } from '../../../process/jobs/jobs.js';
import { runProgram } from '../../../process/exec/run-program.js';
import type { EngineContext } from '../../engine.js';
import { runToolJob } from '../../shared/run-tool-job.js';
import { BASEBACKUP_TOOLS } from '../tool-rules.js';

/** A tar.gz and the directory that it is unpacked into. */
export interface Unpacking {
  readonly archive: string;
  readonly into: string;
}

/** Unpacking shows its progress by nothing that could be asked cheaply: a terabyte takes hours. */
const STALL_MS = 12 * 3_600_000;
const FIND_TIMEOUT_MS = 30 * 60_000;

// Links to tablespaces point to where they were on the source: they are made anew. tar itself refuses members with `..`,
// takes away a leading slash, and makes links only when all files are written, so that none is written through one.
const UNPACK = `set -eu
while [ "$#" -gt 0 ]; do
  tar --extract --gzip --file="$1" --directory="$2" --no-same-owner --anchored --exclude='pg_tblspc/*' --exclude='./pg_tblspc/*'
  shift 2
done`;

export interface Unpack extends Pick<JobRequest, 'resultIsGone' | 'resultIn'> {
  readonly parts: readonly Unpacking[];
  /** Removes what was unpacked. */
  readonly clear: () => Promise<void>;
  /** Links that an earlier attempt may have made when all was unpacked. */
  readonly ownLinks?: readonly string[];
}

/**
 * Unpacks archives one after the other, as one job. Directories have to be this operation's own: an interrupted start is
 * cleared and begun anew.
 * @throws RepriseError `backup-corrupt`, `path-refused` where an archive holds a link, `storage-full`
 */
export async function unpack(
  context: EngineContext,
  step: string,
  { parts, clear, resultIsGone, resultIn, ownLinks = [] }: Unpack,
): Promise<void> {
  const { jobs, user, signal } = context;
  await runToolJob(jobs, BASEBACKUP_TOOLS, {
    step,
    tool: 'tar',
    argv: ['/bin/sh', '-c', UNPACK, 'unpack', ...parts.flatMap(({ archive, into }) => [archive, into])],
    user: user ?? 'inherit',
    onGone: 'restart',
    resultIsGone,
    resultIn,
    cleanUp: async () => {
      await clear();
      for (const { into } of parts) await makeOwnDirectory(into, user);
    },
    stallTimeoutMs: STALL_MS,
  });
  const roots = [...new Set(parts.map(({ into }) => into))];
  const expected = ownLinks.flatMap((path) => ['!', '-path', path.replaceAll(/[\\*?[\]]/g, String.raw`\$&`)]);
  const { stdout } = await runProgram(
    ['find', ...roots, '(', '-type', 'l', '-o', '-type', 'f', '-links', '+1', ')', ...expected, '-print', '-quit'],
    { user, signal, timeoutMs: FIND_TIMEOUT_MS },
  );
  if (stdout === '') return;
  await clear();
  throw new RepriseError(
    'path-refused',
    `the backup contains a link, ${stdout}: pg_basebackup writes only those of tablespaces`,
    'it was changed since it was made; choose another backup',
  );
}
