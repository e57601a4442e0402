import { z } from 'zod';
import type {
  CheckConfig,
  NotifierConfig,
  PolicyConfig,
  RepositoryConfig,
  RetentionConfig,
} from '../../domain/config.js';
import { checkKinds } from '../../checks/registry.js';
import { engineKinds } from '../../engines/registry.js';
import { notifierKinds } from '../../notifiers/registry.js';
import { storageKinds } from '../../storage/registry.js';
import { filledIn, name, positive, reference } from './fields.js';
import type { KnownNames } from '../known-names.js';
import { schedule } from './schedule.js';
import { encryptionSchema } from './encryption.js';

const retention = z
  .strictObject({
    days: positive().optional().describe('Backups younger than this are kept; 14 if no rule is given.'),
    count: positive().optional().describe('This number of the newest backups is kept.'),
    daily: positive().optional().describe('One backup for each day is kept, for this number of days.'),
    weekly: positive().optional().describe('One backup for each week is kept, for this number of weeks.'),
    monthly: positive().optional().describe('One backup for each month is kept, for this number of months.'),
    yearly: positive().optional().describe('One backup for each year is kept, for this number of years.'),
    min_proven: positive()
      .default(2)
      .describe('This number of the newest verified backups is always kept, whatever their age.'),
    max_deletions: positive()
      .default(10)
      .describe('Maximum number of backups removed in one run; a run that would remove more is refused.'),
  })
  .transform(({ min_proven: minProven, max_deletions: maxDeletions, ...rules }): RetentionConfig => ({
    ...rules,
    minProven,
    maxDeletions,
  }));

const price = z.number().min(0);

/** Everybody's own contract: no price is built in. */
const pricesSchema = z
  .strictObject({
    currency: z
      .string()
      .regex(/^[A-Z]{3}$/, 'expected three letters such as EUR')
      .default('EUR')
      .describe('Currency, as ISO 4217 writes it.'),
    per_gb_month: z
      .record(z.string(), price)
      .default({})
      .describe('Price of a GB (2^30 bytes, as Amazon counts) for a month, by storage class; `DISK` for a directory.'),
    thaw_per_gb: z
      .record(
        z.string(),
        z.strictObject({ Expedited: price.optional(), Standard: price.optional(), Bulk: price.optional() }),
      )
      .default({})
      .describe('Price of the thaw of a GB by storage class and tier.'),
  })
  .transform(({ currency, per_gb_month: perGbMonth, thaw_per_gb: thawPerGb }) => ({ currency, perGbMonth, thawPerGb }));

const proofLevel = z.enum(['none', 'verify', 'restore']);

/** One variant an engine: what all policies have, and the engine's own `options`. */
const policyOf = (kind: string, { options, read }: (typeof engineKinds)[string], names: KnownNames) =>
  z
    .strictObject({
      engine: z.literal(kind).describe(`Engine: ${Object.keys(engineKinds).join(', ')}.`),
      repository: filledIn(reference('repository', 'repositories', names.repositories)).describe(
        'Repository of the backups; absent: the only one that is configured.',
      ),
      enabled: z.boolean().default(true).describe('false: the policy makes no backups, and doctor says so.'),
      schedule: schedule.optional().describe('When backups run; absent: only by command.'),
      retention: retention.prefault({}).describe('Which backups rotation keeps.'),
      encryption: encryptionSchema
        .optional()
        .describe('How its files are encrypted; absent: as configured for its repository, otherwise not encrypted.'),
      proof: z
        .union([proofLevel, z.strictObject({ level: z.literal('verify'), restore_every: z.number().int().min(2) })], {
          error: 'expected none, verify, restore, or { level: verify, restore_every: 7 } with a number from 2 on',
        })
        .default('verify')
        .describe(
          'How a backup is checked after it was made; `{ level, restore_every: N }` has each N-th one restored too.',
        ),
      previous_names: z
        .array(name('policy'))
        .min(1)
        .optional()
        .describe(
          'Names that the policy had before: backups made under them are its own, for recoveries and rotation.',
        ),
      options: options.prefault({}).describe("The engine's own options."),
    })
    .transform(
      ({ options, previous_names: previousNames, proof, ...policy }): Omit<PolicyConfig, 'name' | 'cluster'> => ({
        ...policy,
        ...(typeof proof === 'string' ? { proof } : { proof: proof.level, restoreEvery: proof.restore_every }),
        ...(previousNames === undefined ? {} : { previousNames }),
        options: read(options),
      }),
    );

/** Schema of an entry under `backups`, composed from the engine registry. */
export function policySchema(names: KnownNames) {
  const variants = Object.entries(engineKinds).map(([kind, engine]) => policyOf(kind, engine, names));
  return z.discriminatedUnion('engine', variants as [(typeof variants)[number]]);
}

/** Schema of an entry under `repositories`, composed from the storage registry: its kind's keys are beside `type`. */
export function repositorySchema(names: KnownNames) {
  const common = (kind: string) => ({
    type: z.literal(kind).describe(`Kind of storage: ${Object.keys(storageKinds).join(', ')}.`),
    host: reference('host', 'hosts', names.hosts)
      .optional()
      .describe('The host that owns it; absent: the only one that is configured.'),
    prices: pricesSchema
      .optional()
      .describe('Prices of this storage, for `storage usage` and plans; absent: no cost is shown.'),
    encryption: encryptionSchema.optional().describe('How files of the policies that write to it are encrypted.'),
  });
  return beside(
    storageKinds,
    common,
    ({ host, prices, encryption: _ofPolicies, ...own }, type, kind): Omit<RepositoryConfig, 'name'> => ({
      type,
      host,
      prices,
      options: kind.read(own),
    }),
  );
}

/** Schema of an entry under `checks`, composed from the check registry. */
export function checkSchema() {
  const common = (kind: string) => ({
    type: z.literal(kind).describe(`Kind of check: ${Object.keys(checkKinds).join(', ')}.`),
    enabled: z
      .boolean()
      .default(true)
      .describe('false: it is not run, and a kind that every drill runs is left out of drills.'),
  });
  return beside(checkKinds, common, ({ enabled, ...own }, type, kind): Omit<CheckConfig, 'name'> => ({
    type,
    ...(enabled ? {} : { enabled }),
    options: kind.read(own),
  }));
}

/** Schema of an entry under `notifiers`, composed from the notifier registry. */
export function notifierSchema() {
  const common = (kind: string) => ({
    type: z.literal(kind).describe(`Kind of notifier: ${Object.keys(notifierKinds).join(', ')}.`),
  });
  return beside(notifierKinds, common, (own, type, kind): Omit<NotifierConfig, 'name'> => ({
    type,
    addressed: kind.address !== null,
    ...(kind.takesRuns ? { takesRuns: kind.takesRuns } : {}),
    options: kind.read(own),
  }));
}

/** A kind's own strict schema, its refinements kept, with the common keys beside its own; read as `read` does. */
function beside<K extends { readonly options: z.ZodObject }, C extends z.core.$ZodShape, R>(
  kinds: Readonly<Record<string, K>>,
  common: (kind: string) => C,
  read: (values: z.output<z.ZodObject<Omit<C, 'type'>>> & Record<string, unknown>, type: string, kind: K) => R,
) {
  const variants = Object.entries(kinds).map(([type, kind]) => {
    // The kinds' keys are known at run time only: typed as the common ones and some more.
    const all = kind.options.safeExtend(common(type)) as unknown as z.ZodObject<C, z.core.$loose>;
    return all.transform(({ type: _type, ...values }) => read(values as Parameters<typeof read>[0], type, kind));
  });
  return z.discriminatedUnion('type', variants as [(typeof variants)[number]]);
}
