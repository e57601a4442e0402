import type { Backup, Proof, TableCount } from '../domain/backup/backup.js';
import type {
  CatalogueState,
  JournalLine,
  KeyProof,
  Pin,
  RecordedApproval,
  RecordedDailyCheck,
  RecordedIncident,
  RecordedOutcome,
  RecordedPlan,
  Refusal,
  UnmadeBackup,
} from '../domain/backup/catalogue.js';
import type { CatalogueRecord, KeptItem, RecordBody, RecordEnvelope } from '../domain/backup/records.js';
import type { DrillOutcome, RegisterEntry } from '../domain/drill/drill.js';

/** A backup as its records tell of it, before its proofs and holds are evaluated. */
type Known = Omit<Backup, 'status' | 'proven' | 'heldUntil'> & { proofs: Proof[]; quarantined: boolean };

/** What the records read so far come to. */
interface Folded {
  readonly cluster: string;
  readonly backups: Map<string, Known>;
  readonly holds: Map<string, string>;
  /** Quarantined backups that no record tells of otherwise, such as those that somebody copied there. */
  readonly quarantined: Set<string>;
  /** Counts of tables that were written apart from their backup's record. */
  readonly contents: Map<string, (readonly TableCount[])[]>;
  readonly pins: Map<string, Pin>;
  readonly kept: Map<string, KeptItem>;
  readonly plans: Map<string, RecordedPlan>;
  readonly approvals: RecordedApproval[];
  readonly refusals: Refusal[];
  readonly keyProofs: Map<string, KeyProof>;
  readonly repositories: Map<string, string>;
  readonly incidents: Map<string, RecordedIncident>;
  readonly journal: Map<string, JournalLine[]>;
  readonly outcomes: Map<string, RecordedOutcome>;
  readonly unmade: UnmadeBackup[];
  readonly drills: DrillOutcome[];
  readonly register: Map<string, RegisterEntry>;
  dailyCheck?: RecordedDailyCheck;
}

/**
 * Reads the records of one cluster from the first to the last. Pure: the same records and the same `now` give the same
 * state. A proof after a quarantine lifts it, because it read the whole backup again; a quarantine ends every proof.
 */
export function foldRecords(cluster: string, records: readonly CatalogueRecord[], now: Date): CatalogueState {
  const folded: Folded = {
    cluster,
    backups: new Map(),
    holds: new Map(),
    quarantined: new Set(),
    contents: new Map(),
    pins: new Map(),
    kept: new Map(),
    plans: new Map(),
    approvals: [],
    refusals: [],
    keyProofs: new Map(),
    repositories: new Map(),
    incidents: new Map(),
    journal: new Map(),
    outcomes: new Map(),
    unmade: [],
    drills: [],
    register: new Map(),
  };
  for (const record of records) foldRecord(folded, record);

  const { backups, holds, journal, pins, kept, register, contents: _contents, cluster: _cluster, ...rest } = folded;
  const [first] = records;
  for (const [id, until] of holds) if (until !== 'infinity' && Date.parse(until) <= now.getTime()) holds.delete(id);
  return {
    ...rest,
    backups: [...backups.values()].map((known) => toBackup(known, holds)).sort(byStart),
    pins,
    holds,
    kept: [...kept.values()],
    register: [...register.values()],
    ...(first === undefined ? {} : { firstRecordAt: first.at }),
    journalOf: (operationId) => journal.get(operationId) ?? [],
    pinnedBackups: () => new Set([...pins.values()].flatMap(({ backupIds }) => backupIds)),
  };
}

type RecordOf<K extends RecordBody['kind']> = RecordEnvelope & Extract<RecordBody, { readonly kind: K }>;

/** What each kind of record changes; a new kind does not compile without its line. */
const changes: { readonly [K in RecordBody['kind']]: (folded: Folded, record: RecordOf<K>) => void } = {
  contents({ contents }, { operationId, backupId, contents: tables }) {
    const piece = pieceOf(operationId, backupId);
    contents.set(piece, [...(contents.get(piece) ?? []), tables]);
  },

  backup({ contents, backups, holds, quarantined }, { operationId, backup, contentRecords }) {
    const apart = contents.get(pieceOf(operationId, backup.id)) ?? [];
    // A part of the counts would look like tables that were lost.
    const whole = contentRecords === apart.length ? { contents: apart.flat() } : {};
    backups.set(backup.id, { ...backup, ...whole, proofs: [], quarantined: false });
    holds.delete(backup.id);
    quarantined.delete(backup.id);
  },

  'backup-failed'({ unmade }, { policy, reason, code, at, operationId }) {
    unmade.push({ kind: 'failed', policy, reason, code, at, operationId });
  },

  'backup-skipped'({ unmade }, { policy, reason, at, operationId }) {
    unmade.push({ kind: 'skipped', policy, reason, code: null, at, operationId });
  },

  proof({ backups, quarantined }, { backupId, proof }) {
    quarantined.delete(backupId);
    const known = backups.get(backupId);
    known?.proofs.push(proof);
    if (known !== undefined) known.quarantined = false;
  },

  quarantine({ backups, quarantined }, { backupId }) {
    const known = backups.get(backupId);
    if (known === undefined) quarantined.add(backupId);
    else Object.assign(known, { proofs: [], quarantined: true });
  },

  removed({ backups, holds, quarantined }, { backupId }) {
    quarantined.delete(backupId);
    backups.delete(backupId);
    holds.delete(backupId);
  },

  hold({ holds }, { backupId, until }) {
    holds.set(backupId, until);
  },

  release({ holds }, { backupId }) {
    holds.delete(backupId);
  },

  pin({ pins }, { operationId, backupIds, walFrom, workflowId, at }) {
    pins.set(operationId, {
      operationId,
      backupIds,
      walFrom,
      at,
      ...(workflowId === undefined ? {} : { workflowId }),
    });
  },

  unpin({ pins }, { operationId }) {
    pins.delete(operationId);
  },

  plan({ plans }, { plan, operationId, at }) {
    plans.set(plan.digest, { plan, operationId, at, usedAt: plans.get(plan.digest)?.usedAt ?? null });
  },

  'plan-used'({ plans }, { digest, at }) {
    const plan = plans.get(digest);
    if (plan !== undefined) plans.set(digest, { ...plan, usedAt: at });
  },

  approval({ approvals }, { digest, approval, assurance, sender, at, operationId }) {
    approvals.push({ digest, approval, assurance, ...(sender && { sender }), at, operationId });
  },

  refusal({ refusals }, { digest, by, code, reason, sender, at, operationId }) {
    refusals.push({ digest, by, code, reason, ...(sender && { sender }), at, operationId });
  },

  kept({ kept, cluster }, { keptId: id, what, where, parts, host, sizeBytes, at, operationId, beside }) {
    kept.set(id, {
      id,
      cluster,
      what,
      where,
      ...(parts && { parts }),
      host,
      sizeBytes,
      since: at,
      operationId,
      ...(beside && { beside }),
    });
  },

  'kept-dropped'({ kept }, { keptId }) {
    kept.delete(keptId);
  },

  'key-proof'({ keyProofs }, { recipient, at, by }) {
    keyProofs.set(recipient, { at, by });
  },

  repository({ repositories }, { repository, identity }) {
    repositories.set(repository, identity);
  },

  incident({ incidents }, { incidentId: id, scenario, state, text, at, by, toldBy, sender, operationId }) {
    const before = incidents.get(id);
    const line = { at, state, text, by, ...(toldBy === undefined ? {} : { toldBy }), ...(sender && { sender }) };
    const history = [...(before?.history ?? []), line];
    incidents.set(id, { id, scenario, state, operationId, openedAt: before?.openedAt ?? at, updatedAt: at, history });
  },

  journal({ journal }, { operationId, at, by, step, text, workflowId, toldBy }) {
    const line = { at, by, step, text, workflowId, ...(toldBy === undefined ? {} : { toldBy }) };
    const lines = journal.get(operationId);
    if (lines) lines.push(line);
    else journal.set(operationId, [line]);
  },

  drill({ drills }, { outcome }) {
    drills.push(outcome);
  },

  register({ register }, { entry }) {
    register.set(entry.id, entry);
  },

  'daily-check'(folded, { operationId, found }) {
    folded.dailyCheck = { operationId, found };
  },

  outcome({ outcomes }, { operationId, outcome, workflowId, at }) {
    outcomes.set(operationId, { outcome, workflowId, at });
  },
};

function foldRecord(folded: Folded, record: CatalogueRecord): void {
  const change = changes[record.kind] as (folded: Folded, record: CatalogueRecord) => void;
  change(folded, record);
}

const pieceOf = (operationId: string, backupId: string): string => JSON.stringify([operationId, backupId]);

function toBackup({ proofs, quarantined, ...facts }: Known, holds: ReadonlyMap<string, string>): Backup {
  const isPartial = facts.partial !== undefined;
  return {
    ...facts,
    status: quarantined ? 'quarantined' : isPartial ? 'partial' : 'complete',
    proven: isPartial ? null : levelOf(highest(proofs), facts.adopted),
    heldUntil: holds.get(facts.id) ?? null,
  };
}

/** Read whole and checked, a backup of unknown origin is no more than adopted; nor restored, where nobody can tell whether it is whole. */
function levelOf(proof: Proof | null, adopted: Backup['adopted']): Proof | null {
  const isKnown = adopted?.checked !== false || (proof?.level === 'restored' && adopted.whole !== false);
  return proof === null || isKnown ? proof : { ...proof, level: 'adopted' };
}

/** The latest proof of the highest level there is: `restored` says more than `verified`. */
function highest(proofs: readonly Proof[]): Proof | null {
  const restored = proofs.filter(({ level }) => level === 'restored');
  const candidates = restored.length > 0 ? restored : proofs;
  return candidates.reduce<Proof | null>((best, proof) => (best === null || proof.at > best.at ? proof : best), null);
}

function byStart(left: Backup, right: Backup): number {
  if (left.startedAt !== right.startedAt) return left.startedAt < right.startedAt ? -1 : 1;
  return left.id < right.id ? -1 : 1;
}
