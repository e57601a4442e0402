import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { dirname, extname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { z } from 'zod';
import { fromSystemError, isRepriseError, RepriseError } from '../../../domain/errors.js';
import type { TimelineSwitch } from '../../../domain/target/wal.js';
import type { WalArchive } from '../../../postgres/wal/wal-archive.js';
import { parseTimelineHistory } from '../../../domain/target/wal.js';
import { freeBytes } from '../../../postgres/server/disk.js';
import { runProgram } from '../../../process/exec/run-program.js';
import { asUser } from '../../../process/exec/users.js';
import { inTermsOfTool } from '../../shared/run-tool-job.js';
import type { ToolContext } from '../../shared/tool-config.js';
import { PIECE_BYTES, streamToFile } from '../../../files/atomic-file.js';
import { parseToolJson } from '../../shared/manifest.js';
import { USE_KNOWN_VERSION } from '../info.js';
import { optionsOf, pgbackrestArgv, runPgbackrest } from '../command.js';
import { PGBACKREST } from '../tool-rules.js';

/** A listing or a segment of a slow object store may take its time. */
const SLOW_MS = 600_000;

/** WAL of one cluster in the repository. */
export interface StanzaArchive {
  readonly archiveId: string;
  /** Whole segments, in order of their names. */
  readonly segments: readonly string[];
  /** File of a segment below the archive's directory. */
  readonly files: ReadonlyMap<string, string>;
  /** Timelines whose `.history` is there. */
  readonly timelines: readonly number[];
}

const listing = z.record(z.string(), z.object({ type: z.string() }));
const segmentFile = /^([0-9A-F]{24})-([0-9a-f]{40})(?:\.(?:gz|lz4|zst|bz2))?$/;

/** What is archived for an archive id such as `15-1`; an archive that does not exist is empty. */
export async function readArchive(context: ToolContext, archiveId: string): Promise<StanzaArchive> {
  const path = archivePath(context, archiveId);
  const { stdout } = await runPgbackrest(context, 'repo-ls', ['--repo=1', '--output=json', '--recurse'], {
    parameters: [path],
    timeoutMs: SLOW_MS,
  });
  return parseListing(stdout, archiveId);
}

/** Reads `repo-ls --output=json --recurse` of an archive's directory. */
export function parseListing(json: string, archiveId: string): StanzaArchive {
  const files = new Map<string, string>();
  const timelines: number[] = [];
  for (const [path, { type }] of Object.entries(
    parseToolJson('pgbackrest repo-ls', json, listing, USE_KNOWN_VERSION),
  )) {
    if (type !== 'file') continue;
    const name = path.slice(path.lastIndexOf('/') + 1);
    const segment = segmentFile.exec(name)?.[1];
    if (segment !== undefined) files.set(segment, path);
    const history = /^([0-9A-F]{8})\.history$/.exec(name)?.[1];
    if (history !== undefined) timelines.push(Number.parseInt(history, 16));
  }
  return { archiveId, segments: [...files.keys()].sort(), files, timelines: timelines.sort((a, b) => a - b) };
}

/** The archive as a recovery plan reads it. */
export function walArchive(context: ToolContext, archive: StanzaArchive): WalArchive {
  return {
    ...archive,
    readHistory: (timeline) => readTimelineHistory(context, archive.archiveId, timeline),
    fetch: (segment, directory) => fetchSegment(context, archive, segment, directory),
  };
}

/** Switches that led to a timeline, from its archived history file. */
async function readTimelineHistory(
  context: ToolContext,
  archiveId: string,
  timeline: number,
): Promise<TimelineSwitch[]> {
  const name = `${timeline.toString(16).toUpperCase().padStart(8, '0')}.history`;
  const { stdout } = await runPgbackrest(context, 'repo-get', ['--repo=1'], {
    parameters: [`${archivePath(context, archiveId)}/${name}`],
  });
  return parseTimelineHistory(stdout);
}

/**
 * Copies one archived segment into a scratch directory under its own name, checked against the checksum in its file
 * name. `archive-get` is not used: it needs the `pg_control` of a data directory that may be lost.
 * @throws RepriseError `backup-corrupt`; `not-found` where the segment is not archived
 */
async function fetchSegment(
  context: ToolContext,
  archive: StanzaArchive,
  segment: string,
  directory: string,
): Promise<void> {
  const file = archive.files.get(segment);
  if (file === undefined)
    throw new RepriseError('not-found', `WAL segment ${segment} is not in the archive`, 'run: pgbackrest verify');
  const packed = join(directory, `${segment}.packed`);
  const unpacked = join(directory, `${segment}.unpacked`);
  const argv = pgbackrestArgv(
    context,
    'repo-get',
    ['--repo=1'],
    [`${archivePath(context, archive.archiveId)}/${file}`],
  );
  // Binary, and by far too long for a text: the shell writes it to the file.
  await runInto(context, packed, argv, 'pgbackrest repo-get');
  const checksum = await unpack(context, packed, unpacked, extname(file));
  if (checksum !== segmentFile.exec(file.slice(file.lastIndexOf('/') + 1))?.[2]) {
    await rm(unpacked, { force: true });
    throw new RepriseError(
      'backup-corrupt',
      `archived WAL segment ${segment} does not match its recorded checksum`,
      'recover to a point before it, or from another repository',
    );
  }
  await rename(unpacked, join(directory, segment));
}

/** Returns the SHA-1 of what was unpacked. */
async function unpack(context: ToolContext, packed: string, unpacked: string, extension: string): Promise<string> {
  const program = { '.lz4': 'lz4', '.zst': 'zstd', '.bz2': 'bzip2' }[extension];
  const hash = createHash('sha1');
  if (extension === '.gz') {
    const unzip = createGunzip({ chunkSize: PIECE_BYTES });
    unzip.on('data', (piece: Buffer) => hash.update(piece));
    await pipeline(createReadStream(packed), unzip, streamToFile(unpacked)).catch((error: unknown) => {
      // What could not be written, for want of room perhaps, says nothing of the segment.
      throw fromSystemError(error) ?? notUnpacked(String(error));
    });
    await rm(packed, { force: true });
    return hash.digest('hex');
  }
  if (program !== undefined) {
    await runInto({ ...context, user: null }, unpacked, [program, '-dc', packed], program).catch((error: unknown) => {
      // The program is there and says no: a missing one has a code of its own.
      throw isRepriseError(error) && (error.code === 'tool-failed' || error.code === 'tool-rejected')
        ? notUnpacked(error.message)
        : error;
    });
  } else {
    await rename(packed, unpacked);
  }
  await rm(packed, { force: true });
  for await (const piece of createReadStream(unpacked, { highWaterMark: PIECE_BYTES })) hash.update(piece as Buffer);
  return hash.digest('hex');
}

function notUnpacked(why: string): RepriseError {
  return new RepriseError(
    'backup-corrupt',
    `an archived WAL segment cannot be unpacked: ${why}`,
    'run: pgbackrest verify',
  );
}

/** The tool runs as its user; our own shell writes the file, so that the scratch directory stays the worker's. */
async function runInto(context: ToolContext, file: string, argv: readonly string[], name: string): Promise<void> {
  try {
    await runProgram(
      ['/bin/sh', '-c', 'file=$1; shift; exec "$@" > "$file"', 'into', file, ...asUser(context.user, argv)],
      { signal: context.signal, timeoutMs: SLOW_MS },
    );
  } catch (error) {
    throw (await withoutRoom(file, error)) ?? inTermsOfTool(PGBACKREST, name, error);
  }
}

/** Less than this is left of a file system that was full a moment ago. */
const FULL_BYTES = 1024 * 1024;

/** Null where there was room for what a program has written. It need not say so: what it writes to is the shell's. */
async function withoutRoom(file: string, error: unknown): Promise<RepriseError | null> {
  const said = isRepriseError(error) && NO_ROOM.test(String(error.details['stderrTail']));
  const directory = dirname(file);
  if (!said && (await freeBytes(directory)) >= FULL_BYTES) return null;
  return new RepriseError(
    'disk-full',
    `there is no room for a WAL segment in ${directory}`,
    'free space there, or name a directory on a larger disk: hosts.NAME.scratch_dir',
  );
}

const NO_ROOM = /No space left on device|Disk quota exceeded/i;

function archivePath(context: ToolContext, archiveId: string): string {
  return `archive/${optionsOf(context).stanza}/${archiveId}`;
}
