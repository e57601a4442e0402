import { z } from 'zod';
import type { TableConfig } from '../../domain/config.js';
import { duration, holdsNoNul, noNulRule } from '../../domain/fields.js';
import type { FreezeMeans } from '../../domain/table/repair.js';
import type { SuspicionRule } from '../../domain/table/history.js';
import { formatTableName, parseTableName, type TableName } from '../../domain/table/table-name.js';
import type { KnownNames } from '../known-names.js';
import { withHint } from '../problem.js';
import { signOffSchema } from './drill.js';
import { databaseName, mapValues, named, positive } from './fields.js';

const freeze = z
  .strictObject({
    by: z
      .enum(['trigger', 'revoke'])
      .describe(
        'trigger: a trigger of Reprise raises an error for everybody; revoke: the right to write is taken from the roles, and given back as it was.',
      ),
    roles: z
      .array(z.string().min(1).refine(holdsNoNul, noNulRule))
      .min(1)
      .optional()
      .describe('With `revoke`: the roles; `PUBLIC` is what everybody has.'),
  })
  .superRefine(({ by, roles }, context) => {
    if (by === 'revoke' && roles === undefined)
      context.addIssue(withHint('revoke needs roles', 'add roles: with the roles of your applications'));
    if (by === 'trigger' && roles !== undefined)
      context.addIssue({
        code: 'custom',
        path: ['roles'],
        message: withHint('a trigger stops everybody, and takes no roles', 'remove roles, or revoke from them'),
      });
  })
  .transform(({ by, roles = [] }): FreezeMeans => (by === 'revoke' ? { by, roles } : { by }));

const invariant = z
  .strictObject({
    query: z
      .string()
      .min(1)
      .refine(holdsNoNul, noNulRule)
      .describe('Query that returns one row with one boolean: true where the table is coherent.'),
    timeout: duration().prefault('5m').describe('How long the query may take.'),
  })
  .transform(({ query, timeout: timeoutSeconds }) => ({ query, timeoutSeconds }));

const suspect = z
  .strictObject({
    enabled: z.boolean().prefault(true).describe('false: no change of it is suspicious.'),
    loss_percent: z
      .int()
      .min(1)
      .max(99)
      .prefault(50)
      .describe('Suspicious where more than this part of the rows is gone.'),
    growth_percent: positive().prefault(200).describe('Suspicious where more than this part of the rows is added.'),
    min_rows: positive().prefault(100).describe('A change of fewer rows is never suspicious.'),
  })
  .transform(({ enabled, loss_percent, growth_percent, min_rows }): SuspicionRule | null =>
    enabled ? { loss: loss_percent / 100, growth: growth_percent / 100, least: min_rows } : null,
  );

const table = (names: KnownNames) =>
  z.strictObject({
    database: databaseName.describe('Database that the table is in.'),
    freeze: freeze
      .optional()
      .describe(
        'How writes of others are blocked while the table is repaired, or frozen by `table freeze`; absent: they are not.',
      ),
    hooks: z
      .array(z.string())
      .min(1)
      .optional()
      .describe(
        'Hooks that stop what writes to the table (batches), in this order; each needs an `undo`, which runs however that ends.',
      ),
    sign_off: signOffSchema(names, {
      time: '4h',
      meaning: 'Time for the sign-off; then the table is opened, and the report says that nobody signed.',
    })
      .optional()
      .describe('Who says whether a repair is good before the table is opened; absent: nobody is asked.'),
    watch_after: duration()
      .optional()
      .describe(
        'So long the rows are counted after a repair, and people are told of an abnormal change; absent: not at all.',
      ),
    suspect: suspect
      .optional()
      .describe('Which change of its rows from one backup to the next people are told of; absent: as of other tables.'),
    invariants: named('invariant', invariant)
      .optional()
      .describe(
        'Queries that are true of a coherent table, by name: `table locate --invariant NAME` asks them of earlier states.',
      ),
  });

/** A name as PostgreSQL reads it; null: it is none. */
function readName(text: string): TableName | null {
  try {
    return parseTableName(text);
  } catch {
    return null;
  }
}

/** Schema of `tables`: by `schema.table`. */
export const tablesSchema = (names: KnownNames) =>
  z
    .record(
      z.string().superRefine((text, context) => {
        if (readName(text) === null)
          context.addIssue(
            withHint(
              `${JSON.stringify(text)} is not the name of a table`,
              'write schema.table; names with other characters in double quotes within single ones',
            ),
          );
      }),
      table(names),
    )
    .transform((tables) =>
      mapValues(
        tables,
        (
          {
            hooks = [],
            freeze: means,
            database,
            suspect: rule,
            invariants,
            sign_off: signOff,
            watch_after: watchSeconds,
          },
          name,
        ): TableConfig => ({
          ...{ table: readName(name) ?? { schema: '', table: name }, database, hooks },
          ...(means === undefined ? {} : { freeze: means }),
          ...(signOff === undefined ? {} : { signOff }),
          ...(watchSeconds === undefined ? {} : { watchSeconds }),
          ...(rule === undefined ? {} : { suspect: rule }),
          ...(invariants === undefined ? {} : { invariants }),
        }),
      ),
    )
    .superRefine((tables, context) => {
      const names = Object.entries(tables);
      for (const [index, [key, one]] of names.entries()) {
        const same = names.slice(0, index).find(([, other]) => isSame(one, other));
        if (same !== undefined)
          context.addIssue({ code: 'custom', path: [key], message: `this is the same table as ${same[0]}` });
      }
    });

const isSame = (one: TableConfig, other: TableConfig): boolean =>
  one.database === other.database && formatTableName(one.table) === formatTableName(other.table);
