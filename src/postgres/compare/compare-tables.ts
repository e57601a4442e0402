import { DifferenceCounter } from '../../domain/table/compare.js';
import type { BreakdownBy, BreakdownLine, RowDifference, SchemaDifference } from '../../domain/table/compare.js';
import { withComparison } from './comparison.js';
import type { Comparison, ComparisonRequest } from './comparison.js';

export interface CompareRequest extends ComparisonRequest {
  readonly by?: BreakdownBy | undefined;
  /** So many of the rows that differ are in the result. */
  readonly sampleLimit: number;
}

export interface ComparedTables {
  readonly schema: readonly SchemaDifference[];
  readonly key: readonly string[];
  readonly columns: readonly string[];
  /** Absent: rows with equal keys are one row. */
  readonly keysByText?: readonly string[];
  /** In the backup, not in production. */
  readonly missing: number;
  readonly changed: number;
  readonly extra: number;
  readonly same: number;
  readonly samples: readonly RowDifference[];
  /** In how many changed rows each column differs. */
  readonly changedColumns: Readonly<Record<string, number>>;
  readonly breakdown: readonly BreakdownLine[];
  readonly seconds: number;
}

/** Counts in what a table differs on two servers. What holds for {@link withComparison} holds here. */
export async function compareTables(request: CompareRequest): Promise<ComparedTables> {
  const startedAt = performance.now();
  return withComparison({ ...request, cutsValues: true }, async (comparison) => {
    const { columns, key } = comparison.terms;
    const counter = new DifferenceCounter(columns, request.by ?? null, request.sampleLimit);
    let notSame = 0;
    for await (const row of comparison.differencesByServer()) {
      counter.add(row);
      if (comparison.isCounted(row)) notSame += row.times;
    }
    const isOneSided = counter.counts.missing === 0 || counter.counts.extra === 0;
    return {
      schema: comparison.schema,
      key,
      columns,
      ...(isOneSided ? {} : keysByText(comparison)),
      ...counter.counts,
      same: comparison.leftRows - notSame,
      samples: counter.samples,
      changedColumns: Object.fromEntries(counter.changedColumns),
      breakdown: counter.breakdown(),
      seconds: Math.round(performance.now() - startedAt) / 1000,
    };
  });
}

const keysByText = ({ keysByText: columns }: Comparison): Pick<ComparedTables, 'keysByText'> =>
  columns.length === 0 ? {} : { keysByText: columns };
