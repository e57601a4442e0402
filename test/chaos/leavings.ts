/** What an operation may leave behind, and what it must leave as it was. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from '@jest/globals';
import type { StartedOperation } from '../../src/client/start.js';
import { lockWorkflowId, queryNames } from '../../src/domain/operation/names.js';
import { openCatalogueForReading } from '../../src/records/catalogue.js';
import { openFrozenTables } from '../../src/records/frozen-tables.js';
import { openHostState } from '../../src/records/host-state.js';
import { openOperationLedger } from '../../src/records/operation-ledger.js';
import { openTemporaryInstances } from '../../src/records/temporary-instances.js';
import { openDirectory } from '../../src/storage/directory/directory-storage.js';
import type { Site } from '../helpers/site.js';

export type Facts = Readonly<Record<string, unknown>>;

/** Content, names, rights and triggers of production. */
export async function productionOf(site: Site): Promise<Facts> {
  const { rows } = await site.query(
    `SELECT (SELECT json_agg(datname ORDER BY datname) FROM pg_database) AS databases,
            (SELECT json_agg(rolname ORDER BY rolname) FROM pg_roles) AS roles,
            (SELECT json_agg(nspname ORDER BY nspname) FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_') AS schemas,
            (SELECT json_agg(format('%s %s %s', tgrelid::regclass, tgname, tgenabled) ORDER BY tgrelid, tgname) FROM pg_trigger WHERE NOT tgisinternal) AS triggers,
            (SELECT json_agg(format('%s %s', oid::regclass, coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, relowner))) ORDER BY oid) FROM pg_class WHERE relnamespace = 'metier'::regnamespace) AS rights,
            (SELECT json_agg(slot_name) FROM pg_replication_slots) AS slots,
            (SELECT json_agg(format('%s %s', pid, application_name)) FROM pg_stat_activity
              WHERE application_name = 'reprise repair' OR usesysid IS NOT NULL AND (usename IS NULL OR usename LIKE 'reprise\\_%')) AS sessions,
            (SELECT json_agg(gid) FROM pg_prepared_xacts) AS prepared, pg_is_in_recovery() AS recovery`,
  );
  return { ...(rows[0] as object), content: await site.contentHash() };
}

/** Waits until everything is as it was: a sweep has its time. */
export async function requireSame(look: () => Promise<Facts>, before: Facts): Promise<void> {
  await waitedFor(async () => differing(flat(await look()), flat(before)));
}

/**
 * Nothing on the host, in the records or in Temporal belongs to an operation; waits for what a sweep at the start of a worker does. The lock
 * of one that was terminated is taken from it by whoever wants it next.
 */
export async function requireNothingLeft(site: Site, how?: 'terminated' | 'cancelled'): Promise<void> {
  const { stateDir } = site.places;
  await waitedFor(async () => [
    ...Object.values(await site.leftovers()).flat(),
    ...(await openTemporaryInstances(stateDir).all()).map(({ dataDir }) => dataDir),
    ...(await openFrozenTables(stateDir).all()).map(({ operationId }) => `frozen by ${operationId}`),
    ...(await openOperationLedger(stateDir).open(site.cluster)).map(({ operationId }) => `open: ${operationId}`),
    ...(await openHostState(stateDir).openPlans()).map(({ digest }) => `plan ${digest}`),
    ...[...(await recordsOf(site)).pins.keys()].map((operationId) => `pinned by ${operationId}`),
    ...(await readdir(join(stateDir, 'scratch')).catch(() => [] as string[])),
    // No query is answered without a worker.
    ...(how !== 'terminated' && site.workers.some(({ ended }) => !ended) ? await holders(site) : []),
  ]);
}

/** What the repository's records say, without a worker. */
export const recordsOf = (site: Site) =>
  openCatalogueForReading(openDirectory({ path: site.places.backupsDir }), site.cluster).state();

/** Looks until nothing is found. The limit only ends a test that fails. */
async function waitedFor(look: () => Promise<readonly unknown[]>): Promise<void> {
  let found: readonly unknown[] = ['not looked yet'];
  for (const limit = Date.now() + 600_000; found.length > 0 && Date.now() < limit;) {
    found = await look();
    if (found.length > 0) await sleep(200);
  }
  expect(found).toEqual([]);
}

async function holders(site: Site): Promise<readonly unknown[]> {
  const handle = site.session.client.workflow.getHandle(lockWorkflowId(site.cluster));
  try {
    if ((await handle.describe()).status.name !== 'RUNNING') return [];
    return await handle.query<readonly unknown[]>(queryNames.holders);
  } catch {
    return [];
  }
}

/** At most ten of what differs. */
export function differing(left: ReadonlyMap<string, string>, right: ReadonlyMap<string, string>): readonly string[] {
  const names = [...new Set([...left.keys(), ...right.keys()])].filter((name) => left.get(name) !== right.get(name));
  return names.slice(0, 10).map((name) => `${name}: ${left.get(name) ?? 'none'} for ${right.get(name) ?? 'none'}`);
}

const flat = (facts: object): ReadonlyMap<string, string> =>
  new Map(Object.entries(facts).map(([name, value]) => [name, JSON.stringify(value)]));

/** Of the kills that did not happen, those that should have: a step that an operation has no use for cannot die. */
export async function missed(work: StartedOperation, missing: readonly string[]): Promise<readonly string[]> {
  const happened = await scheduled(work);
  return missing.filter((point) => !point.startsWith('activity:') || happened.has(point.split(':')[1] ?? ''));
}

/** Activities that an operation has begun so far. */
export async function scheduled({ handle }: StartedOperation): Promise<ReadonlySet<string>> {
  const { events } = await handle.fetchHistory();
  return new Set((events ?? []).map((event) => event.activityTaskScheduledEventAttributes?.activityType?.name ?? ''));
}
