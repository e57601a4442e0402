import { z } from 'zod';
import { backupTypes } from '../backup/backup.js';
import { RepriseError } from '../errors.js';
import { thawTierNames } from '../storage/storage-classes.js';
import { repairStrategies } from '../table/strategies.js';
import { readTarget } from '../target/target.js';
import { LAST_TIMELINE } from '../target/timeline-choice.js';

/**
 * What a person asks for, one schema an operation: the command line, the client, the workflow's input, the activity's
 * input and the plan use these types, and the order travels whole, as one field. Workflows import the types only.
 */

const name = z.string().min(1).max(1024);
const count = z.number().int().min(0);

export const backupOrder = z.strictObject({ policy: name, type: z.enum(['auto', ...backupTypes]) }).readonly();
export type BackupOrder = z.infer<typeof backupOrder>;

/** `failed`: databases, and ids of backups, that failed in this run: all backups of these databases stay. Absent: none. */
export const rotationOrder = z.strictObject({ policy: name, failed: z.array(z.string()).optional() }).readonly();
export type RotationOrder = z.infer<typeof rotationOrder>;

/**
 * `restore`: restored into a scratch server and compared, instead of read only. `inTurn`: restored where it is this backup's turn, as
 * `proof.restore_every` of its policy says.
 */
export const verificationOrder = z
  .strictObject({ backupId: name, restore: z.boolean(), inTurn: z.literal(true).optional() })
  .readonly();
export type VerificationOrder = z.infer<typeof verificationOrder>;

/** `from`: an import folder of the cluster, by its name in the configuration; absent: what the engines list and no record names. */
export const adoptionOrder = z.strictObject({ policy: name.optional(), from: name.optional() }).readonly();
export type AdoptionOrder = z.infer<typeof adoptionOrder>;
/** The part of an adoption that is done under one lock. */
export const policyAdoptionOrder = z.strictObject({ policy: name, from: name.optional() }).readonly();
export type PolicyAdoptionOrder = z.infer<typeof policyAdoptionOrder>;

/** What cannot be undone, and is approved or confirmed; `host`: where old data is. */
export const actionOrder = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('kept-drop'), id: name, host: name.optional() }).readonly(),
  z.strictObject({ kind: z.literal('release'), id: name }).readonly(),
  z.strictObject({ kind: z.literal('storage-apply'), repository: name }).readonly(),
  z.strictObject({ kind: z.literal('adopt'), policy: name.optional(), from: name.optional() }).readonly(),
]);
export type ActionOrder = z.infer<typeof actionOrder>;

export const recoveryOrder = z
  .strictObject({
    policy: name.optional(),
    /** As an object or as the text that `--to` takes, both read by the same rules. */
    target: z.unknown().transform(readTarget),
    /** Which history; absent: the newest one, and refused where the target may mean another one too. */
    timeline: z.union([z.enum(['latest', 'backup']), z.number().int().min(1).max(LAST_TIMELINE)]).optional(),
    /** `in-place` or a name under `recovery.targets`. */
    into: name,
    /** Stop at the target until a person sends `promote`. */
    pause: z.boolean(),
    /** One database only, for engines that back up a database at a time. */
    database: name.optional(),
    /** How cold files are thawed; absent: as the repository says. */
    thawTier: z.enum(thawTierNames).optional(),
    /** Name under `media`: its objects go to the same instant. */
    withMedia: name.optional(),
    /** Subscriptions and logical slots of databases that dumps replace stay with the old ones; without it that is refused. */
    detachReplication: z.boolean().optional(),
  })
  .readonly();
export type RecoveryOrder = z.infer<typeof recoveryOrder>;

/** To what was there at an instant (UTC ISO-8601); `into` names another entry of `media` or a repository. */
const mediaRecovery = z
  .strictObject({
    kind: z.literal('recover'),
    to: z.iso.datetime(),
    later: z.enum(['keep', 'remove']),
    into: name.optional(),
  })
  .readonly();
/** `into` becomes as the entry is; what only it has goes with `delete`, up to so many objects. */
const mediaSync = z
  .strictObject({ kind: z.literal('sync'), into: name, delete: z.boolean(), maxDelete: count })
  .readonly();
const mediaTask = z.discriminatedUnion('kind', [mediaRecovery, mediaSync]);
export type MediaTask = z.infer<typeof mediaTask>;

/** `media`: name under `media` of the config. */
export const mediaOrder = z.strictObject({ media: name, task: mediaTask }).readonly();
export type MediaOrder = z.infer<typeof mediaOrder>;

/** `sample`: number of images that are decoded. */
export const mediaVerificationOrder = z.strictObject({ media: name, sample: count }).readonly();
export type MediaVerificationOrder = z.infer<typeof mediaVerificationOrder>;

/**
 * A restore drill. `engines`: kinds of engine or names of policies, restored in this order; absent: as the configuration says. `at`: the instant;
 * `random` inside what can be recovered, chosen by the seed.
 */
export const drillOrder = z
  .strictObject({
    engines: z.array(name).min(1).optional(),
    at: z.union([z.enum(['random', 'latest']), z.iso.datetime()]).optional(),
    /** Hex, of an earlier drill whose random choice is repeated; absent: a new one. */
    seed: z
      .string()
      .regex(/^[0-9a-f]{16,64}$/)
      .optional(),
    /** So long staging stays as it is when the drill has ended. */
    keepSeconds: count.optional(),
  })
  .readonly();
export type DrillOrder = z.infer<typeof drillOrder>;

/**
 * A temporary instance: a copy at an instant that changes nothing of production. `policy`: from whose backups; absent: the first that
 * leads there. `databases`: of dumps, which ones; absent: those of the cluster. `only`: of dumps, rows of these tables alone. `ttlSeconds`: how long it stays; absent: as long as its
 * operation, or, of an exploration, as the configuration says.
 */
const instance = {
  target: z.unknown().transform(readTarget),
  timeline: z.union([z.enum(['latest', 'backup']), z.number().int().min(1).max(LAST_TIMELINE)]).optional(),
  policy: name.optional(),
  databases: z.array(name).min(1).optional(),
  only: z
    .array(z.strictObject({ schema: name, table: name }).readonly())
    .min(1)
    .optional(),
  ttlSeconds: count.min(1).optional(),
};
export const instanceOrder = z.strictObject(instance).readonly();
export type InstanceOrder = z.infer<typeof instanceOrder>;
/** One that people look at; `host`: where; absent: on the host of the cluster. */
export const exploreOrder = z.strictObject({ ...instance, host: name.optional() }).readonly();
export type ExploreOrder = z.infer<typeof exploreOrder>;

/** A table of a database, by the names of the catalogue. */
const orderedTable = z.strictObject({ schema: name, table: name }).readonly();

/** Which state of a table is coherent: so many rows, a row with this value, or what a query of the configuration says. No SQL from a client. */
const tableCondition = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('min-rows'), rows: count.min(1) }).readonly(),
  z.strictObject({ kind: z.literal('key'), column: name, value: z.string().max(10_000) }).readonly(),
  z.strictObject({ kind: z.literal('invariant'), name }).readonly(),
]);
/**
 * `from`, `to`: only states of this range (UTC ISO-8601); `policy`: from whose backups, absent: the one that archives WAL, and dumps;
 * `timeline`: along which one, absent: the newest.
 */
export const locateOrder = z
  .strictObject({
    database: name,
    table: orderedTable,
    condition: tableCondition,
    from: z.iso.datetime().optional(),
    to: z.iso.datetime().optional(),
    policy: name.optional(),
    timeline: z.number().int().min(1).max(LAST_TIMELINE).optional(),
  })
  .readonly();
export type LocateOrder = z.infer<typeof locateOrder>;

/**
 * What one transaction did to a table, and what each way back would lose. `to`: later changes until then (UTC ISO-8601), absent: all that the
 * WAL has; `policy`: from whose backups and WAL; `samples`: so many rows of each kind are kept on the host.
 */
export const blastRadiusOrder = z
  .strictObject({
    database: name,
    table: orderedTable,
    xid: z.string().regex(/^\d{1,20}$/),
    to: z.iso.datetime().optional(),
    policy: name.optional(),
    samples: count.max(10_000),
  })
  .readonly();
export type BlastRadiusOrder = z.infer<typeof blastRadiusOrder>;

/** Text as PostgreSQL writes the value; null: NULL. Compared by the column's own type, never put into a statement as it is. */
const valueText = z.string().max(10_000).nullable();
/** Which rows a repair may change: all of these hold. No SQL from a client. */
const scopeTerm = z.union([
  /** `from` counts in, `below` does not. */
  z.strictObject({ column: name, from: valueText.optional(), below: valueText.optional() }).readonly(),
  z.strictObject({ column: name, in: z.array(valueText).min(1).max(10_000) }).readonly(),
]);
export type ScopeTerm = z.infer<typeof scopeTerm>;

const target = z.unknown().transform(readTarget);
/** Where good rows come from. */
export const repairSource = z.discriminatedUnion('kind', [
  /** Exactly what one transaction did is undone; what came later is kept. */
  z
    .strictObject({ kind: z.literal('transaction'), xid: z.string().regex(/^\d{1,20}$/), policy: name.optional() })
    .readonly(),
  /** What changed between two instants is undone; what came later is kept. */
  z.strictObject({ kind: z.literal('between'), good: target, bad: target, policy: name.optional() }).readonly(),
  /** Rows as they were at an instant or in a backup, whatever came later. */
  z.strictObject({ kind: z.literal('state'), at: target, policy: name.optional() }).readonly(),
  /** What an earlier repair did is taken back. */
  z.strictObject({ kind: z.literal('repair'), operationId: name }).readonly(),
]);
export type RepairSource = z.infer<typeof repairSource>;

/** A row that changed for another reason too: it stays, it is taken back all the same, or the newer by a column wins; `keys`: taken back where listed. */
const conflictRule = z.discriminatedUnion('rule', [
  z.strictObject({ rule: z.literal('keep') }).readonly(),
  z.strictObject({ rule: z.literal('take') }).readonly(),
  z.strictObject({ rule: z.literal('newest'), column: name }).readonly(),
  z.strictObject({ rule: z.literal('keys'), keys: z.array(z.array(valueText).min(1)).min(1).max(10_000) }).readonly(),
]);
export type ConflictRule = z.infer<typeof conflictRule>;

/**
 * A table of production against what it was, in a backup or at an instant. `by`: differences are counted by the values, or days, of a column;
 * `samples`: so many rows that differ are kept on the host.
 */
export const comparisonOrder = z
  .strictObject({
    database: name,
    table: orderedTable,
    good: target,
    policy: name.optional(),
    key: z.array(name).min(1).max(32).optional(),
    columns: z.array(name).min(1).max(1600).optional(),
    scope: z.array(scopeTerm).max(20).optional(),
    by: z.strictObject({ column: name, day: z.boolean() }).readonly().optional(),
    samples: count.max(10_000),
  })
  .readonly();
export type ComparisonOrder = z.infer<typeof comparisonOrder>;

export const repairOrder = z
  .strictObject({
    database: name,
    table: orderedTable,
    source: repairSource,
    strategy: z.enum(repairStrategies),
    /** Absent: all rows. */
    scope: z.array(scopeTerm).max(20).optional(),
    /** Absent: such rows are kept as they are, and listed. */
    conflicts: conflictRule.optional(),
    /** Columns that tell rows apart, where the table has no key of its own. */
    key: z.array(name).min(1).max(32).optional(),
    /** Whether the table's own triggers fire; absent: they do not, and rows become exactly as approved. */
    fireTriggers: z.boolean().optional(),
    /** Rows a transaction, in recorded batches; absent: all in one transaction. */
    batchRows: z.number().int().min(100).max(1_000_000).optional(),
  })
  .refine(({ source, strategy }) => (source.kind === 'state') === (strategy !== 'undo'), {
    path: ['strategy'],
    message: 'undo takes a transaction, two instants or a repair back; the others correct rows by one state',
  })
  .readonly();
export type RepairOrder = z.infer<typeof repairOrder>;

/**
 * An incident of one table. `foundAt`: hour of discovery (UTC ISO-8601), absent: when the incident was opened; `cause`: as people enter it;
 * `hold`: the block of writes is asked for at once, and not when somebody has confirmed it.
 */
export const tableIncidentOrder = z
  .strictObject({
    database: name,
    table: orderedTable,
    foundAt: z.iso.datetime().optional(),
    cause: z.string().min(1).max(2000).optional(),
    hold: z.literal(true).optional(),
  })
  .readonly();
export type TableIncidentOrder = z.infer<typeof tableIncidentOrder>;

/**
 * A migration of a database that went wrong. `at`: when it began (UTC ISO-8601); absent: the migration table says so. `foundAt`: when people
 * saw it; absent: now.
 */
export const migrationIncidentOrder = z
  .strictObject({
    database: name,
    at: z.iso.datetime().optional(),
    policy: name.optional(),
    foundAt: z.iso.datetime().optional(),
    cause: z.string().min(1).max(2000).optional(),
  })
  .readonly();
export type MigrationIncidentOrder = z.infer<typeof migrationIncidentOrder>;

/** Writes to a table are blocked until somebody releases it. `forSeconds`: for so long at most; absent: for ever. */
export const holdOrder = z
  .strictObject({
    database: name,
    table: orderedTable,
    forSeconds: count.min(1).optional(),
    reason: z.string().max(2000).optional(),
  })
  .readonly();
export type HoldOrder = z.infer<typeof holdOrder>;

/** An order with who asks for it, and for which cluster. */
export interface OperationRequest<Order> {
  readonly cluster: string;
  readonly requester: string;
  readonly order: Order;
}

/**
 * Reads an order that came from outside. What is not known is refused: an older host must not leave out what was asked.
 * @throws RepriseError `usage` for what is no such order; `target-invalid` or `target-ambiguous` for its target
 */
export function readOrder<Order>(schema: z.ZodType<Order>, raw: unknown): Order {
  const read = schema.safeParse(raw);
  if (read.success) return read.data;
  const problems = read.error.issues
    .slice(0, 5)
    .map(({ path: where, message }) => `${where.join('.') || 'order'}: ${message}`);
  throw new RepriseError(
    'usage',
    `the order cannot be read: ${problems.join('; ')}`,
    'start the operation with the command line of the same version as the worker',
  );
}
