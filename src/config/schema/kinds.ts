import { z } from 'zod';
import { checkKinds } from '../../checks/registry.js';
import { engineKinds } from '../../engines/registry.js';
import { notifierKinds } from '../../notifiers/registry.js';
import { storageKinds } from '../../storage/registry.js';
import { duration, positive, reference } from './fields.js';
import type { KnownNames } from '../known-names.js';
import { schedule } from './schedule.js';
import { encryptionSchema } from './encryption.js';

const retention = z.strictObject({
  days: positive().optional().describe('Backups younger than this stay; 14 where no rule is given.'),
  count: positive().optional().describe('So many of the newest stay.'),
  daily: positive().optional().describe('One a day stays, for so many days.'),
  weekly: positive().optional().describe('One a week stays, for so many weeks.'),
  monthly: positive().optional().describe('One a month stays, for so many months.'),
  yearly: positive().optional().describe('One a year stays, for so many years.'),
  min_proven: positive().default(2).describe('So many proven backups always stay, however old.'),
  max_deletions: positive().default(10).describe('Most deletions in one run; more is refused.'),
});

const price = z.number().min(0);

/** Everybody's own contract: no price is built in. */
const pricesSchema = z.strictObject({
  currency: z
    .string()
    .regex(/^[A-Z]{3}$/, 'expected three letters such as EUR')
    .default('EUR')
    .describe('Currency, as ISO 4217 writes it.'),
  per_gb_month: z
    .record(z.string(), price)
    .default({})
    .describe('Price of a GB (2^30 bytes, as Amazon counts) a month by storage class; `DISK` for a directory.'),
  thaw_per_gb: z
    .record(
      z.string(),
      z.strictObject({ Expedited: price.optional(), Standard: price.optional(), Bulk: price.optional() }),
    )
    .default({})
    .describe('Price of the thaw of a GB by storage class and tier.'),
});

/** One variant an engine: what all policies have, and the engine's own `options`. */
const policyOf = (kind: string, options: z.ZodObject, names: KnownNames) =>
  z.strictObject({
    engine: z.literal(kind).describe(`Engine: ${Object.keys(engineKinds).join(', ')}.`),
    repository: reference('repository', 'repositories', names.repositories)
      .optional()
      .describe('Where the files go; absent: the only repository there is.'),
    enabled: z.boolean().default(true).describe('A disabled policy is skipped, and said to be.'),
    schedule: schedule.optional().describe('When it runs; absent: only when asked.'),
    retention: retention.prefault({}).describe('What rotation keeps.'),
    encryption: encryptionSchema
      .optional()
      .describe('How its files are encrypted; absent: as its repository says, else not.'),
    proof: z.enum(['none', 'verify', 'restore']).default('verify').describe('What proves a backup after it was taken.'),
    options: options.prefault({}).describe("The engine's own options."),
  });

/** Schema of an entry under `backups`, composed from the engine registry. */
export function policySchema(names: KnownNames) {
  const variants = Object.entries(engineKinds).map(([kind, { options }]) => policyOf(kind, options, names));
  return z.discriminatedUnion('engine', variants as [(typeof variants)[number]]);
}

/** Schema of an entry under `repositories`, composed from the storage registry: its kind's keys stand beside `type`. */
export function repositorySchema(names: KnownNames) {
  const common = (kind: string) => ({
    type: z.literal(kind).describe(`Kind of storage: ${Object.keys(storageKinds).join(', ')}.`),
    host: reference('host', 'hosts', names.hosts)
      .optional()
      .describe('The host that owns it; absent: the only host there is.'),
    prices: pricesSchema
      .optional()
      .describe('What it costs to keep things there, for `storage usage` and plans; absent: no cost is shown.'),
    encryption: encryptionSchema.optional().describe('How the policies that write to it have their files encrypted.'),
  });
  return beside('type', storageKinds, common);
}

/** Schema of an entry under `checks`, composed from the check registry. */
export function checkSchema() {
  const common = (kind: string) => ({
    type: z.literal(kind).describe(`Kind of check: ${Object.keys(checkKinds).join(', ')}.`),
  });
  return beside('type', checkKinds, common);
}

/** Schema of an entry under `notifiers`, composed from the notifier registry. */
export function notifierSchema() {
  const common = (kind: string) => ({
    type: z.literal(kind).describe(`Kind of notifier: ${Object.keys(notifierKinds).join(', ')}.`),
  });
  return beside('type', notifierKinds, common);
}

export const watchSchema = z.strictObject({
  every: duration().default('10s').describe('Time between two checks of the cluster.'),
  failures: positive().default(3).describe('So many failed checks in a row open an incident.'),
});

/** A kind's own strict schema, its refinements kept, with the common keys beside its own. */
function beside<C extends z.core.$ZodShape>(
  discriminator: string,
  kinds: Readonly<Record<string, { readonly options: z.ZodObject }>>,
  common: (kind: string) => C,
) {
  const variants = Object.entries(kinds).map(([kind, { options }]) => {
    // The kinds' keys are known at run time only: typed as the common ones and some more.
    return options.safeExtend(common(kind)) as unknown as z.ZodObject<C, z.core.$loose>;
  });
  return z.discriminatedUnion(discriminator, variants as [(typeof variants)[number]]);
}
