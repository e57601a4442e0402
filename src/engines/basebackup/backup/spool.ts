import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Progress } from '../../../domain/operation/progress.js';
import { libpqEnv } from '../../../postgres/connection/environment.js';
import { makeHostScratch } from '../../../postgres/server/scratch-directory.js';
import type { JobResult } from '../../../process/jobs/jobs.js';
import { tailOfFile } from '../../../files/tail.js';
import type { EngineContext } from '../../engine.js';
import { PG_MANIFEST, spoolOf } from '../repository/names.js';
import { isRestoredDirectoryGone } from '../../shared/claim-directory.js';
import { sha256OfFile } from '../../shared/hash.js';
import { optionsOf } from '../options.js';
import { runToolJob } from '../../shared/run-tool-job.js';
import { BASEBACKUP_TOOLS } from '../tool-rules.js';
import { unpack } from '../restore/unpack.js';
import { pathExists } from '../../../files/paths.js';
import { removeTree } from '../../../files/remove-tree.js';
import { makeOwnDirectory } from '../../../files/trusted-paths.js';

/** A spread checkpoint, or a slow disk, shows nothing for minutes. */
const STALL_MS = 30 * 60_000;
const VERIFY_STALL_MS = 12 * 3_600_000;

/** Where pg_basebackup writes of this operation. */
export const tarsOf = (context: EngineContext): string => join(spoolOf(context), 'tar');

/**
 * Has pg_basebackup write the cluster's files and the WAL that makes them consistent to the host's scratch directory: to
 * stdout it takes neither several tablespaces nor the WAL. A start that was cut off is thrown away and begun anew.
 * @param label what the server keeps of it, in `backup_label`
 * @param parent file with the backup_manifest of the backup that an incremental one rests on
 * @param versionNum of the server; `step`: key of the job
 */
export async function takeBase(
  context: EngineContext,
  label: string,
  parent: string | null,
  { versionNum, step = 'basebackup' }: { readonly versionNum: number; readonly step?: string },
): Promise<JobResult> {
  const { compress, maxRate, pageErrors } = optionsOf(context);
  const { connection } = context.cluster;
  await makeHostScratch(context.host, context.user);
  await makeOwnDirectory(spoolOf(context), context.user);
  return runToolJob(context.jobs, BASEBACKUP_TOOLS, {
    step,
    tool: 'pg_basebackup',
    argv: [
      join(context.pgBin, 'pg_basebackup'),
      ...[
        `--pgdata=${tarsOf(context)}`,
        '--format=tar',
        `--compress=${compress}`,
        '--wal-method=stream',
        '--checkpoint=fast',
      ],
      ...[`--label=reprise ${label}`, '--no-password', '--progress'],
      ...(parent === null ? [] : [`--incremental=${parent}`]),
      ...(maxRate === undefined ? [] : [`--max-rate=${maxRate}`]),
      ...(pageErrors === 'accept' ? ['--no-verify-checksums'] : []),
    ],
    env: libpqEnv(connection, connection.maintenanceDatabase, versionNum),
    user: context.user ?? 'inherit',
    onGone: 'restart',
    cleanUp: () => removeTree(tarsOf(context)),
    // Written last: without it there is no base backup.
    resultIsGone: async () => !(await pathExists(join(tarsOf(context), PG_MANIFEST))),
    progress: async ({ stderr }) => progressOf(await tailOfFile(stderr)),
    stallTimeoutMs: STALL_MS,
  });
}

/**
 * Has pg_verifybackup compare what was written with the manifest that the server sent, WAL included. It is unpacked
 * for that: before version 18 it reads no tar, and later ones read no WAL in one.
 * @throws RepriseError `backup-corrupt`
 */
export async function verifySpool(context: EngineContext): Promise<void> {
  const plain = join(spoolOf(context), 'plain');
  const tars = tarsOf(context);
  await unpackBeside(context, tars, plain);
  await runToolJob(context.jobs, BASEBACKUP_TOOLS, {
    step: 'verify-basebackup',
    tool: 'pg_verifybackup',
    argv: [
      join(context.pgBin, 'pg_verifybackup'),
      ...['--exit-on-error', `--manifest-path=${join(tars, PG_MANIFEST)}`, plain],
    ],
    user: context.user ?? 'inherit',
    onGone: 'restart',
    // A base backup that was made again is verified again.
    resultIn: () => sha256OfFile(join(tars, PG_MANIFEST)),
    stallTimeoutMs: VERIFY_STALL_MS,
  });
  await removeTree(plain);
}

async function unpackBeside(context: EngineContext, tars: string, plain: string): Promise<void> {
  const names = (await readdir(tars)).filter((name) => name.endsWith('.tar.gz'));
  const parts = names.map((name) => ({ archive: join(tars, name), into: placeOf(name, plain) }));
  for (const { into } of parts) await makeOwnDirectory(into, context.user);
  await unpack(context, 'unpack-to-verify', {
    parts,
    clear: () => removeTree(plain),
    resultIsGone: () => isRestoredDirectoryGone(plain),
    resultIn: () => sha256OfFile(join(tars, PG_MANIFEST)),
  });
}

/** Directory that an archive's members belong to, below a data directory without links. */
function placeOf(name: string, plain: string): string {
  const base = name.replace(/\.tar\.gz$/, '');
  if (base === 'base') return plain;
  return base === 'pg_wal' ? join(plain, 'pg_wal') : join(plain, 'pg_tblspc', base);
}

/** The last line of `--progress`: `12345/67890 kB (18%), 0/1 tablespace`. */
function progressOf(stderr: string): Progress | undefined {
  const [, done, total] = [...stderr.matchAll(/(\d+)\/(\d+) kB \(\d+%\)/g)].at(-1) ?? [];
  if (done === undefined || total === undefined) return undefined;
  return {
    phase: 'reading the cluster',
    done: Number(done) * 1024,
    total: Math.max(Number(done), Number(total)) * 1024,
    unit: 'bytes',
  };
}
