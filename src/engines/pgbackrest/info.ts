import { z } from 'zod';
import type { BackupType, ListedBackup } from '../../domain/backup/backup.js';
import { RepriseError } from '../../domain/errors.js';
import { isLsn, isSegmentName } from '../../domain/target/wal.js';
import { parseToolJson } from '../shared/manifest.js';
import type { ToolContext } from '../shared/tool-config.js';
import { optionsOf, runPgbackrest } from './command.js';
import type { PgbackrestOptions } from './options.js';
import { failureOfRepository } from './tool-rules.js';

/** Key of the annotation that names the operation a backup was made by, so that a later attempt knows its own. */
export const ANNOTATION = 'reprise';

/** One entry of the stanza's history: a cluster's identity, or its next one after a major upgrade. */
export interface StanzaDatabase {
  readonly id: number;
  readonly systemIdentifier: string;
  readonly major: number;
  /** Directory of its WAL in the repository, e.g. `15-1`. */
  readonly archiveId: string;
}

export interface StanzaBackup {
  readonly label: string;
  readonly type: BackupType;
  readonly database: StanzaDatabase;
  readonly startedAt: string;
  /** pgBackRest counts whole seconds, rounded down. */
  readonly finishedAt: string;
  readonly wal: { readonly start: string; readonly stop: string } | null;
  readonly lsn: { readonly start: string; readonly stop: string } | null;
  /** Bytes it takes in the repository by itself. */
  readonly sizeBytes: number;
  /** Bytes of the restored cluster. */
  readonly databaseBytes: number;
  /** Chain of backups it rests on, nearest first. */
  readonly dependsOn: readonly string[];
  /** Pages with wrong checksums were found while it was made. */
  readonly error: boolean;
  readonly operationId: string | null;
}

export interface StanzaInfo {
  readonly exists: boolean;
  /** Another pgBackRest command works on the stanza, on this host. */
  readonly locked: boolean;
  readonly databases: readonly StanzaDatabase[];
  /** Oldest first. */
  readonly backups: readonly StanzaBackup[];
}

export const USE_KNOWN_VERSION = 'use pgBackRest 2.45 or a later 2.x';

// Labels, archive ids and names become arguments and parts of paths: no others than in the forms pgBackRest gives.
const label = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]*$/);
const segments = z.object({
  start: z.string().refine(isSegmentName).nullable(),
  stop: z.string().refine(isSegmentName).nullable(),
});
const positions = z.object({ start: z.string().refine(isLsn).nullable(), stop: z.string().refine(isLsn).nullable() });
const stanzas = z.array(
  z.object({
    name: z.string(),
    status: z.object({
      code: z.number(),
      message: z.string(),
      lock: z.object({ backup: z.object({ held: z.boolean() }) }).optional(),
    }),
    repo: z.array(z.object({ status: z.object({ code: z.number(), message: z.string() }) })).optional(),
    db: z.array(
      z.object({
        id: z.int().nonnegative(),
        'system-id': z.string().regex(/^\d+$/),
        version: z.string().regex(/^\d+(?:\.\d+)?$/),
      }),
    ),
    backup: z.array(
      z.object({
        annotation: z.record(z.string(), z.string()).nullish(),
        archive: segments.nullish(),
        lsn: positions.nullish(),
        database: z.object({ id: z.number() }),
        error: z.boolean().nullish(),
        info: z.object({ size: z.number(), repository: z.object({ delta: z.number() }) }),
        label,
        prior: label.nullable(),
        timestamp: z.object({ start: z.number(), stop: z.number() }),
        type: z.enum(['full', 'diff', 'incr']),
      }),
    ),
  }),
);

/** Status codes of `info` (its manual page): 1 no stanza, 2 no backup yet, 3 stanza half made. */
const ABSENT = new Set([1, 3]);
const READABLE = new Set([0, 2]);

/**
 * What the repository says of the stanza.
 * @throws RepriseError `storage-unreachable`, `storage-refused` or `config-invalid` where the repository cannot be read; those of {@link runPgbackrest}
 */
export async function readInfo(context: ToolContext): Promise<StanzaInfo> {
  const { stdout } = await runPgbackrest(context, 'info', ['--repo=1', '--output=json']);
  return parseInfo(stdout, optionsOf(context).stanza);
}

/** Reads `info --output=json`. */
export function parseInfo(json: string, stanza: string): StanzaInfo {
  const found = parseToolJson('pgbackrest info', wholeNumbersAsText(json), stanzas, USE_KNOWN_VERSION);
  const entry = found.find(({ name }) => name === stanza);
  if (entry === undefined || ABSENT.has(entry.status.code))
    return { exists: false, locked: false, databases: [], backups: [] };
  if (!READABLE.has(entry.status.code)) {
    throw failureOfRepository(
      entry.repo?.find(({ status }) => status.code === entry.status.code)?.status.message ?? entry.status.message,
    );
  }
  const databases = entry.db.map(({ id, version, 'system-id': systemIdentifier }) => ({
    id,
    systemIdentifier,
    major: Number.parseInt(version, 10),
    archiveId: `${version}-${id}`,
  }));
  const byId = new Map(databases.map((database) => [database.id, database]));
  const prior = new Map(entry.backup.map((backup) => [backup.label, backup.prior]));
  const backups = entry.backup.map((backup): StanzaBackup => {
    const database = byId.get(backup.database.id);
    if (database === undefined)
      throw new RepriseError(
        'backup-corrupt',
        `backup ${backup.label} belongs to no known cluster`,
        'run: pgbackrest verify',
      );
    return {
      label: backup.label,
      type: backup.type,
      database,
      startedAt: instant(backup.timestamp.start),
      finishedAt: instant(backup.timestamp.stop),
      wal: ends(backup.archive),
      lsn: ends(backup.lsn),
      sizeBytes: backup.info.repository.delta,
      databaseBytes: backup.info.size,
      dependsOn: chain(backup.label, prior),
      error: backup.error ?? false,
      operationId: backup.annotation?.[ANNOTATION] ?? null,
    };
  });
  return { exists: true, locked: entry.status.lock?.backup.held ?? false, databases, backups };
}

const detailed = z.array(
  z.object({
    status: z.object({ message: z.string() }),
    backup: z.array(z.object({ tablespace: z.array(z.object({ oid: z.int().positive() })).nullish() })),
  }),
);

/**
 * Tablespaces of one backup, by number, from its manifest.
 * @throws RepriseError `backup-corrupt` where pgBackRest cannot read the manifest it wrote: it ends with 0 nevertheless
 */
export async function readTablespaces(context: ToolContext, label: string): Promise<number[]> {
  const { stdout } = await runPgbackrest(context, 'info', ['--repo=1', '--output=json', `--set=${label}`]);
  const [stanza] = parseToolJson('pgbackrest info', stdout, detailed, USE_KNOWN_VERSION);
  const [backup] = stanza?.backup ?? [];
  if (backup !== undefined) return (backup.tablespace ?? []).map(({ oid }) => oid);
  throw new RepriseError(
    'backup-corrupt',
    `the manifest of backup ${label} cannot be read: ${stanza?.status.message ?? 'no such stanza'}`,
    'it cannot be restored: take a new backup',
  );
}

/** The stanza's present cluster: the newest entry of its history. */
export function currentDatabase(info: StanzaInfo): StanzaDatabase | undefined {
  return info.databases.toSorted((a, b) => a.id - b.id).at(-1);
}

/** @param options what the policy says of pages with wrong checksums */
export function listed(backup: StanzaBackup, { pageErrors }: Pick<PgbackrestOptions, 'pageErrors'> = {}): ListedBackup {
  return {
    label: backup.label,
    type: backup.type,
    startedAt: backup.startedAt,
    finishedAt: backup.finishedAt,
    sizeBytes: backup.sizeBytes,
    dependsOn: backup.dependsOn,
    wal: backup.wal ?? undefined,
    damaged:
      backup.error && pageErrors !== 'accept'
        ? 'pgBackRest found pages with wrong checksums while it made this backup'
        : undefined,
  };
}

/** A system identifier has 64 bits, a JavaScript number 53: it would come back as another cluster's. */
function wholeNumbersAsText(json: string): string {
  return json.replace(/("system-id"\s*:\s*)(\d+)/g, '$1"$2"');
}

function ends(
  value: { start: string | null; stop: string | null } | null | undefined,
): { start: string; stop: string } | null {
  if (value?.start == null || value.stop == null) return null;
  return { start: value.start, stop: value.stop };
}

function chain(label: string, prior: ReadonlyMap<string, string | null>): string[] {
  const labels: string[] = [];
  for (let next = prior.get(label); next != null && !labels.includes(next); next = prior.get(next)) labels.push(next);
  return labels;
}

function instant(seconds: number): string {
  return new Date(seconds * 1000).toISOString();
}
