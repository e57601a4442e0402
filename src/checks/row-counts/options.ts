import { z } from 'zod';
import { tablePattern } from '../table-patterns.js';

/** Keys of a check of type `row-counts`, besides `type`. */
export const rowCountsOptions = z.strictObject({
  except: z
    .array(tablePattern())
    .default([])
    .describe(
      'Tables that applications empty, shrink or drop, as schema.table with * for any text: they are left out where WAL was replayed beyond the backup.',
    ),
});

/** What the check reads from `CheckConfig.options`. */
export interface RowCountsOptions extends Readonly<Record<string, unknown>> {
  readonly except: readonly string[];
}

export function readRowCountsOptions(options: z.output<typeof rowCountsOptions>): RowCountsOptions {
  return options;
}
