import type { RepairOrder } from '../../domain/operation/orders.js';
import type { ChangeSetDigest, ChangeSetHeader, RowChange, RowText } from '../../domain/table/repair.js';
import { withTableSide } from '../../postgres/compare/table-side.js';
import { withClient } from '../../postgres/connection/with-client.js';
import { type ChangeSetEntry, withChangeSet, writeChangeSet } from '../../postgres/repair/change-set-file.js';
import { equalKeys, type EqualKeys } from '../../postgres/repair/equal-keys.js';
import { isExactKey, type TableFacts } from '../../postgres/repair/table-facts.js';
import type { RepairFiles } from '../../records/repair-files.js';
import type { RepairRequest } from '../api.js';
import type { ClusterContext } from '../cluster-context.js';
import { scopeOf } from './make-changes.js';
import { keyText } from './row-states.js';
import { asRepair, changesOnly } from './repair-session.js';

/** What a strategy does with rows that differ from a state. */
export function strategyDoes(strategy: RepairOrder['strategy']): Readonly<Record<RowChange['op'], boolean>> {
  return {
    insert: strategy !== 'delete-extra',
    update: strategy === 'replace' || strategy === 'upsert',
    delete: strategy === 'replace' || strategy === 'delete-extra',
  };
}

/**
 * The changes of a strategy and its scope, from all rows that differ from a state: a row that is there under an equal key in another text is one that
 * changed, and not one that is missing and another one that is too many.
 */
export async function pairedChanges(
  clusterContext: ClusterContext,
  { order, operationId }: RepairRequest,
  files: RepairFiles,
  facts: TableFacts,
  candidates: ChangeSetDigest,
): Promise<ChangeSetDigest> {
  return withChangeSet(files.candidates, candidates, async (changes) => {
    const { header } = changes;
    const found: EqualKeys =
      candidates.insert === 0 || candidates.delete === 0
        ? { renamed: new Map(), unclear: new Set() }
        : await asRepair(clusterContext, order, operationId, facts, (client) =>
            equalKeys(client, header, facts, changesOnly(changes)),
          );
    const does = strategyDoes(order.strategy);
    const inScope = await withClient(clusterContext.cluster.connection, order.database, (client) =>
      withTableSide(client, order.table, 'in production', (side) => scopeOf(order, facts, side, header.columns)),
    );
    const entries = (async function* (): AsyncGenerator<ChangeSetEntry> {
      const versions = await newVersions(changesOnly(changes), found.renamed);
      let number = -1;
      for await (const one of changesOnly(changes)) {
        number++;
        if (found.renamed.has(number)) continue;
        const after = versions.get(number);
        const change =
          one.op === 'delete' && after !== undefined ? { op: 'update' as const, before: one.before, after } : one;
        const [good, now] = ['after' in change ? change.after : null, 'before' in change ? change.before : null];
        if (!does[change.op] || !inScope({ good, bad: null, now })) continue;
        if (found.unclear.has(number)) yield unclear(header, now ?? []);
        else yield change;
      }
    })();
    return writeChangeSet(files.found, header, entries, clusterContext.user);
  });
}

/** Nobody can tell which of the rows with an equal key it is. */
function unclear({ key, columns }: ChangeSetHeader, now: RowText): ChangeSetEntry {
  const values = key.map((name) => now[columns.indexOf(name)] ?? null);
  return { op: 'conflict', reason: 'not-unique', key: values, good: null, bad: now, now };
}

/**
 * Rows before and after the damage whose keys are equal in another text: the key after it, with the one before it. Empty where equal keys of these
 * types have one text.
 */
export async function keysInOtherText(
  clusterContext: ClusterContext,
  { order, operationId }: RepairRequest,
  facts: TableFacts,
  header: ChangeSetHeader,
  { good, bad }: { readonly good: () => AsyncIterable<RowText>; readonly bad: () => AsyncIterable<RowText> },
): Promise<ReadonlyMap<string, string>> {
  if (header.key.length === 0 || isExactKey(facts, header.key)) return new Map();
  const rows = async function* (): AsyncGenerator<RowChange> {
    for await (const before of bad()) yield { op: 'delete', before };
    for await (const after of good()) yield { op: 'insert', after };
  };
  const { renamed } = await asRepair(clusterContext, order, operationId, facts, (client) =>
    equalKeys(client, header, facts, rows()),
  );
  const key = header.key.map((name) => header.columns.indexOf(name));
  const before = new Map([...renamed].map(([made, gone]) => [gone, made]));
  const [afterText, beforeText] = [new Map<number, string>(), new Map<number, string>()];
  let number = -1;
  for await (const row of rows()) {
    number++;
    if (row.op === 'delete' && before.has(number)) afterText.set(number, keyText(row.before, key));
    if (row.op === 'insert' && renamed.has(number)) beforeText.set(number, keyText(row.after, key));
  }
  const found = new Map<string, string>();
  for (const [made, gone] of renamed) {
    const [then, later] = [beforeText.get(made) ?? '', afterText.get(gone) ?? ''];
    if (then !== later) found.set(later, then);
  }
  return found;
}

/** Of rows that go and come back under an equal key: what becomes of each, by the number of the delete. */
export async function newVersions(
  changes: AsyncIterable<RowChange>,
  renamed: EqualKeys['renamed'],
): Promise<ReadonlyMap<number, RowText>> {
  const versions = new Map<number, RowText>();
  if (renamed.size === 0) return versions;
  let at = 0;
  for await (const change of changes) {
    const gone = renamed.get(at++);
    if (gone !== undefined && change.op === 'insert') versions.set(gone, change.after);
  }
  return versions;
}
