import { join } from 'node:path';
import { RepriseError } from '../../../domain/errors.js';
import type { ConnectionConfig } from '../../../domain/config.js';
import type { TableName } from '../../../domain/table/table-name.js';
import { withMaintenance } from '../../../postgres/connection/with-client.js';
import { libpqEnv } from '../../../postgres/connection/environment.js';
import { NOT_DECRYPTED } from '../../../process/age/age.js';
import { toolFailure } from '../../../process/exec/tool-rules.js';
import type { JobExit, JobExitClass, JobRequest, JobResult } from '../../../process/jobs/jobs.js';
import type { EngineContext } from '../../engine.js';
import { runToolJob } from '../../shared/run-tool-job.js';
import { cronDatabase, hasCron, withoutCron } from '../archive/pg-cron.js';
import { onlyTables } from '../archive/only-tables.js';
import { tocOf } from '../archive/read-toc.js';
import type { ArchiveToc } from '../archive/toc.js';
import { readingArgv } from '../encryption.js';
import type { SealedFile } from '../encryption.js';
import type { LogicalOptions } from '../options.js';
import type { DumpManifest } from '../repository/manifest.js';
import { tailOfFile } from '../../../files/tail.js';
import { summarize } from '../repository/verify.js';
import { LOGICAL_TOOLS } from '../tool-rules.js';
import { databaseConninfo, RESTORE_STALL_TIMEOUT_MS } from '../tools.js';
import type { NewDatabase } from './new-database.js';
import { complaintsIn } from './restore-complaints.js';
import type { ClassifiedComplaints } from './restore-complaints.js';
import { fileSize } from '../../../files/paths.js';

/**
 * What code in a dump raises is printed by the tool that runs it, as often as it likes. pg_restore itself prints some
 * lines for each object: there are less than a million.
 */
export const MOST_OUTPUT_BYTES = 256 << 20;

/** One restore on its way. */
export interface Restoring {
  readonly context: EngineContext;
  readonly manifest: DumpManifest;
  readonly dump: SealedFile;
  readonly database: NewDatabase;
  /** Part of its jobs' names: what was restored into another server, such as a scratch one, says nothing of this one. */
  readonly systemIdentifier: string;
  /** `server_version_num` of the server that it is restored into. */
  readonly versionNum: number;
  /** Errors of single statements do not end it: a person decides on them. */
  readonly returnsErrors: boolean;
  /** Only the rows of these tables; absent: all. */
  readonly only?: readonly TableName[] | undefined;
}

export type RestoreComplaints = Pick<ClassifiedComplaints, 'accepted' | 'missingNames' | 'errors'>;

/** The table of contents of the dump, as far as the server can take it, and as far as it is wanted. */
export async function restorableToc(restoring: Restoring): Promise<ArchiveToc> {
  const { only } = restoring;
  const toc = await serversToc(restoring);
  return only === undefined ? toc : onlyTables(toc, only);
}

async function serversToc({ context, dump, manifest, database }: Restoring): Promise<ArchiveToc> {
  const toc = await tocOf(context, dump);
  if (!hasCron(manifest.extensions)) return toc;
  const allowed = await withMaintenance(database.connection, cronDatabase);
  return allowed === database.name ? toc : withoutCron(toc);
}

/** One run of pg_restore. */
export interface RestoreRun extends Pick<JobRequest, 'prepare' | 'resultIsGone' | 'cleanUp'> {
  /** Of its job. */
  readonly step: string;
  readonly connection: ConnectionConfig;
  readonly options: readonly string[];
  /** Said where PostgreSQL refuses something that the role may not do. */
  readonly privilegeHint?: string;
}

/** How the end of pg_restore is looked at. */
type Judged = Pick<Restoring, 'returnsErrors'> & Pick<RestoreRun, 'privilegeHint'>;

/**
 * Runs pg_restore on the dump into the new database, as a job.
 * @returns complaints of it that are known to be harmless, and the errors that a person decides on
 * @throws RepriseError `check-failed` for any other complaint; else as {@link LOGICAL_TOOLS} has it. `details.missingNames` where
 *   something was not found by its name
 */
export async function runPgRestore(restoring: Restoring, run: RestoreRun): Promise<RestoreComplaints> {
  const { context, manifest, dump, database } = restoring;
  const result = await runRestoreJob(restoring, {
    step: run.step,
    tool: 'pg_restore',
    argv: await readingArgv(context, dump, [
      join(context.pgBin, 'pg_restore'),
      '--no-password',
      '--verbose',
      `--dbname=${databaseConninfo(database.name)}`,
      ...run.options,
    ]),
    env: quiet(libpqEnv(run.connection, database.name, restoring.versionNum)),
    prepare: run.prepare,
    mostOutputBytes: MOST_OUTPUT_BYTES,
    resultIsGone: run.resultIsGone,
    cleanUp: run.cleanUp,
    classifyExit: (exit) => classifyExit(exit, { ...run, returnsErrors: restoring.returnsErrors }),
    progress: async () => ({
      phase: `restoring ${manifest.database}`,
      done: await sizeOf(database),
      total: manifest.databaseSizeBytes,
      unit: 'bytes',
    }),
  });
  return result.code === 0 ? { accepted: [], missingNames: false, errors: [] } : complaintsIn(result.stderr);
}

/** Without the notices and warnings that the code of a dump raises, unless it asks for them. */
export function quiet(env: Readonly<Record<string, string>>): Record<string, string> {
  return { ...env, PGOPTIONS: `${env['PGOPTIONS'] ?? ''} -c client_min_messages=error`.trimStart() };
}

/** A tool that works on the new database, as a job of this restore. What it made goes with that very database. */
export async function runRestoreJob(
  { context, database }: Pick<Restoring, 'context' | 'database'>,
  job: Omit<Parameters<typeof runToolJob>[2], 'onGone' | 'stallTimeoutMs' | 'resultIn'>,
): Promise<JobResult> {
  return runToolJob(context.jobs, LOGICAL_TOOLS, {
    ...job,
    resultIn: () => oidOf(database),
    onGone: 'restart',
    stallTimeoutMs: RESTORE_STALL_TIMEOUT_MS,
  });
}

/** Parallel jobs need a file to seek in; a decrypted one comes by a pipe. */
export function jobsOption(restoring: Restoring): string {
  return `--jobs=${jobsOf(restoring)}`;
}

/** Sessions of pg_restore at once: with several jobs, its first one may still be ending when theirs begin. */
export function sessionsOf(restoring: Restoring): number {
  const jobs = jobsOf(restoring);
  return jobs === 1 ? 1 : jobs + 1;
}

function jobsOf({ context, dump }: Restoring): number {
  return dump.encrypted ? 1 : (context.policy.options as LogicalOptions).restoreJobs;
}

/**
 * Exit 1 is "errors ignored on restore": each is looked at. A connection lost may be found again, and what was
 * ended by a signal started again; all else would only happen once more.
 */
async function classifyExit(exit: JobExit, judged: Judged): Promise<JobExitClass | RepriseError> {
  const flood = await floodOf(exit, 'pg_restore');
  if (flood !== null) return flood;
  if (exit.code === null) return 'retry';
  const complaints = await complaintsIn(exit.stderr);
  if (exit.code === 1 && complaints.refused.length === 0) return 'ok';
  return classifyComplaints(exit, complaints, judged);
}

async function classifyComplaints(
  exit: JobExit,
  { refused, ownErrors, missingNames, errors }: ClassifiedComplaints,
  { privilegeHint, returnsErrors }: Judged,
): Promise<JobExitClass | RepriseError> {
  const failed = { name: 'pg_restore', exitCode: exit.code };
  if (toolFailure(LOGICAL_TOOLS, { ...failed, output: ownErrors }).code === 'database-unreachable') return 'retry';
  const meant = toolFailure(LOGICAL_TOOLS, { ...failed, output: await outputOf(exit, refused) });
  if (exit.code === NOT_DECRYPTED) return meant.code === 'tool-failed' ? 'fail' : meant;
  const isKnown = meant.code !== 'tool-failed' && meant.code !== 'database-unreachable';
  if (returnsErrors && exit.code === 1 && errors.length > 0 && !isKnown) return 'ok';
  const hint = meant.code === 'privilege-missing' && privilegeHint !== undefined ? privilegeHint : meant.hint;
  return new RepriseError(
    isKnown ? meant.code : 'check-failed',
    `pg_restore reported errors: ${summarize(refused)}`,
    isKnown ? hint : UNKNOWN_HINT,
    { missingNames },
  );
}

const UNKNOWN_HINT =
  'All it printed is in the job records of this host. Choose another backup, or create what is missing on the server first.';

/** Its complaints, and the end of what it printed: what stopped it is there. */
async function outputOf({ stderr }: JobExit, refused: readonly string[]): Promise<string> {
  return [...refused, await tailOfFile(stderr)].join('\n');
}

/** Why a tool ended that printed more than is kept; null where it did not. */
export async function floodOf({ stdout, stderr }: JobExit, tool: string): Promise<RepriseError | null> {
  const printed = Math.max((await fileSize(stdout)) ?? 0, (await fileSize(stderr)) ?? 0);
  if (printed < MOST_OUTPUT_BYTES) return null;
  return new RepriseError(
    'check-failed',
    `${tool} was ended: it printed more than ${MOST_OUTPUT_BYTES >> 20} MiB, as code in the dump raises messages without end`,
    'choose another backup with recover --to backup:ID; the messages are at the end of its output in the job records of this host',
  );
}

/** Tablespaces of the dump, where the server has all of them; null: all goes to the default one, as the plan has said. */
export async function tablespacesThere(
  connection: ConnectionConfig,
  { tablespaces }: DumpManifest,
): Promise<readonly string[] | null> {
  if (tablespaces.length === 0) return [];
  const there = await withMaintenance(connection, (client) =>
    client.query<{ name: string }>('SELECT spcname::text AS name FROM pg_catalog.pg_tablespace'),
  );
  const names = new Set(there.rows.map(({ name }) => name));
  return tablespaces.every((name) => names.has(name)) ? tablespaces : null;
}

/** Another one than before where the database was dropped and made again; 0 where there is none. */
async function oidOf({ connection, name }: NewDatabase): Promise<string> {
  const { rows } = await withMaintenance(connection, (client) =>
    client.query<{ oid: string }>('SELECT oid::text AS oid FROM pg_catalog.pg_database WHERE datname = $1', [name]),
  );
  return rows[0]?.oid ?? '0';
}

async function sizeOf({ connection, name }: NewDatabase): Promise<number> {
  const { rows } = await withMaintenance(connection, (client) =>
    client.query<{ size: string | null }>(
      'SELECT pg_catalog.pg_database_size(oid)::text AS size FROM pg_catalog.pg_database WHERE datname = $1',
      [name],
    ),
  );
  return Number(rows[0]?.size ?? 0);
}
