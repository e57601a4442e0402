import { isAbsolute, join } from 'node:path';
import { connectionAt, tablespaceDir } from '../../domain/plan/recovery-place.js';
import { markOfOldData } from '../../postgres/old-data/drop-old-data.js';
import { holdsUnfinishedRecovery } from '../../postgres/server/data-directory.js';
import { openHostState } from '../../records/host-state.js';
import type { StepInput } from '../api.js';
import { type ClusterContext, record } from '../cluster-context.js';
import type { AuthorizedStep } from './authorized-step.js';
import { pathExists } from '../../files/paths.js';

/** Name under which the host keeps that an operation is about to open its server for writes. */
export const PROMOTION = 'promotion';
/** And that it is open: only then does it hold more than what it was recovered from. */
export const PROMOTED = 'promoted';

/** Old data that a step is about to keep. */
export interface OldData {
  readonly keptId: string;
  readonly what: string;
  readonly where: string;
  /** Directories outside of it that are part of it. */
  readonly parts?: readonly string[];
  /** It is a copy that was recovered beside, into this place: it is dropped like old data, and listed apart. */
  readonly beside?: string;
}

/**
 * Writes down what is about to be kept: in the ledger of this host, which alone decides what may be dropped, and in the
 * records. A crash after it leaves a line too many, never old data nobody knows of.
 */
export async function recordOldData(
  { clusterContext, plan }: Pick<AuthorizedStep, 'clusterContext' | 'plan'>,
  step: Pick<StepInput, 'operationId'>,
  name: string,
  { keptId, what, where, parts, beside }: OldData,
): Promise<void> {
  const { cluster, deps, host } = clusterContext;
  const { port, targetHost } = plan.binding;
  await openHostState(host.stateDir).saveKept({
    id: keptId,
    cluster: cluster.name,
    operationId: step.operationId,
    where,
    server: isAbsolute(where) ? null : { port, targetHost },
    mark: null,
    ...(parts === undefined ? {} : { parts: parts.map((part) => ({ where: part, mark: null })) }),
    ...(beside === undefined ? {} : { beside }),
  });
  const body = { kind: 'kept' as const, keptId, what, where, parts, sizeBytes: null, host: deps.host, beside };
  await record(clusterContext, step, name, body);
}

/** Keeps by what it is recognised, now that it is there. */
export async function markOldData(
  { clusterContext: { cluster, host }, plan }: Pick<AuthorizedStep, 'clusterContext' | 'plan'>,
  { keptId, where, parts = [], beside }: Pick<OldData, 'keptId' | 'where' | 'parts' | 'beside'>,
): Promise<void> {
  const connection = connectionAt(cluster, plan.binding);
  const mark = await markOfOldData(where, connection, beside);
  const ofParts = await Promise.all(parts.map((part) => markOfOldData(part, connection)));
  if (mark !== null) await openHostState(host.stateDir).markKept(keptId, mark, ofParts);
}

/** The directory that a recovery beside makes: what is listed, stopped and dropped as `reprise beside`. */
export function besideCopy(
  { home, plan }: Pick<AuthorizedStep, 'home' | 'plan'>,
  { operationId }: Pick<StepInput, 'operationId'>,
): OldData {
  const { into, layout } = plan.binding;
  const hasTablespaces = (layout?.tablespaces ?? []).length > 0;
  return {
    keptId: `${operationId}/beside`,
    what: `copy recovered beside, as ${into}`,
    where: home,
    ...(hasTablespaces ? { parts: [tablespaceDir(home, operationId)] } : {}),
    beside: into,
  };
}

/** A database that a recovery beside puts into a server there, under its own name: listed and dropped as `reprise beside`. */
export function besideDatabase(
  { plan }: Pick<AuthorizedStep, 'plan'>,
  { operationId }: Pick<StepInput, 'operationId'>,
  database: string,
): OldData & { readonly beside: string } {
  const { into } = plan.binding;
  const what = `database ${database}, recovered beside from its dump, as ${into}`;
  return { keptId: `${operationId}/beside/${database}`, what, where: database, beside: into };
}

/** A copy that is moved away has that name no more: it is old data now. */
export async function forgetMovedCopies(
  { clusterContext }: Pick<AuthorizedStep, 'clusterContext'>,
  step: Pick<StepInput, 'operationId'>,
  where: string,
  into?: string,
): Promise<void> {
  const { kept } = await clusterContext.catalogue.state();
  for (const { id, host, beside, where: place, operationId } of kept)
    if (
      beside !== undefined &&
      (into === undefined || (beside === into && operationId !== step.operationId)) &&
      place === where &&
      host === clusterContext.deps.host
    )
      await record(clusterContext, step, `dropped/${id}`, { kind: 'kept-dropped', keptId: id });
}

/** How a data directory put aside is named in the records. */
export const oldDirectory = (dataDir: string): string => `old data directory ${dataDir}`;

/** And the WAL saved from one that was overwritten. */
export const oldWal = (dataDir: string): string => `WAL of the overwritten data directory ${dataDir}`;

/**
 * Where the lost server's own files are: its data directory or, where that one comes from a recovery that was given up,
 * what the first of those put aside, or saved of what it overwrote. WAL that was never archived is there, and nowhere else.
 */
export async function oldDataDirOf({ catalogue, deps, host }: ClusterContext, dataDir: string): Promise<string> {
  if (!(await isBegunRecovery(dataDir))) return dataDir;
  const { kept, outcomes } = await catalogue.state();
  const state = openHostState(host.stateDir);
  let found = dataDir;
  for (const item of kept.toReversed()) {
    if (![oldDirectory(dataDir), oldWal(dataDir)].includes(item.what) || item.host !== deps.host) continue;
    if (outcomes.has(item.operationId) || (await state.onceDone(item.operationId, PROMOTED))) break;
    if (await pathExists(item.where)) found = item.where;
  }
  return found;
}

/**
 * Gone, half restored, or restored and never opened for writes: nothing was ever committed in it. Every engine restores
 * the control file last, or after what says that it is a backup.
 */
async function isBegunRecovery(dataDir: string): Promise<boolean> {
  if (!(await pathExists(dataDir)) || (await holdsUnfinishedRecovery(dataDir))) return true;
  if (!(await pathExists(join(dataDir, 'global', 'pg_control')))) return true;
  return (await pathExists(join(dataDir, 'backup_label'))) || (await pathExists(join(dataDir, 'backup.manifest')));
}
