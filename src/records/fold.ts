import type { Backup, Proof, TableCount } from '../domain/backup/backup.js';
import type {
  CatalogueState,
  JournalLine,
  KeyProof,
  Pin,
  RecordedApproval,
  RecordedIncident,
  RecordedOutcome,
  RecordedPlan,
  Refusal,
  UnmadeBackup,
} from '../domain/backup/catalogue.js';
import type { CatalogueRecord, KeptItem } from '../domain/backup/records.js';

/** What is said of a backup before `now` is looked at. */
type Known = Omit<Backup, 'status' | 'proven' | 'heldUntil'> & { proofs: Proof[]; quarantined: boolean };

/**
 * Reads the records of one cluster from the first to the last. Pure: the same records and the same `now` give the same
 * state. A proof after a quarantine lifts it, because it read the whole backup again; a quarantine ends every proof.
 */
export function foldRecords(cluster: string, records: readonly CatalogueRecord[], now: Date): CatalogueState {
  const backups = new Map<string, Known>();
  const holds = new Map<string, string>();
  const pieces = new Map<string, (readonly TableCount[])[]>();
  const pins = new Map<string, Pin>();
  const kept = new Map<string, KeptItem>();
  const plans = new Map<string, RecordedPlan>();
  const approvals: RecordedApproval[] = [];
  const refusals: Refusal[] = [];
  const keyProofs = new Map<string, KeyProof>();
  const incidents = new Map<string, RecordedIncident>();
  const journal = new Map<string, JournalLine[]>();
  const outcomes = new Map<string, RecordedOutcome>();
  const unmade: UnmadeBackup[] = [];

  const change = (id: string, to: (known: Known) => void) => {
    const known = backups.get(id);
    if (known !== undefined) to(known);
  };

  for (const record of records) {
    const { at, operationId, by } = record;
    switch (record.kind) {
      case 'contents': {
        const piece = pieceOf(operationId, record.backupId);
        pieces.set(piece, [...(pieces.get(piece) ?? []), record.contents]);
        break;
      }
      case 'backup': {
        const apart = pieces.get(pieceOf(operationId, record.backup.id)) ?? [];
        // A part of the counts would look like tables that were lost.
        const whole = record.contentRecords === apart.length ? { contents: apart.flat() } : {};
        backups.set(record.backup.id, { ...record.backup, ...whole, proofs: [], quarantined: false });
        holds.delete(record.backup.id);
        break;
      }
      case 'backup-failed':
        unmade.push({
          kind: 'failed',
          policy: record.policy,
          reason: record.reason,
          code: record.code,
          at,
          operationId,
        });
        break;
      case 'backup-skipped':
        unmade.push({ kind: 'skipped', policy: record.policy, reason: record.reason, code: null, at, operationId });
        break;
      case 'proof':
        change(record.backupId, (known) => {
          known.proofs.push(record.proof);
          known.quarantined = false;
        });
        break;
      case 'quarantine':
        change(record.backupId, (known) => {
          known.proofs = [];
          known.quarantined = true;
        });
        break;
      case 'removed':
        backups.delete(record.backupId);
        holds.delete(record.backupId);
        break;
      case 'hold':
        holds.set(record.backupId, record.until);
        break;
      case 'release':
        holds.delete(record.backupId);
        break;
      case 'pin':
        pins.set(operationId, { operationId, backupIds: record.backupIds, walFrom: record.walFrom, at });
        break;
      case 'unpin':
        pins.delete(operationId);
        break;
      case 'plan':
        plans.set(record.plan.digest, {
          plan: record.plan,
          operationId,
          at,
          usedAt: plans.get(record.plan.digest)?.usedAt ?? null,
        });
        break;
      case 'plan-used': {
        const plan = plans.get(record.digest);
        if (plan !== undefined) plans.set(record.digest, { ...plan, usedAt: at });
        break;
      }
      case 'approval':
        approvals.push({
          digest: record.digest,
          approval: record.approval,
          assurance: record.assurance,
          at,
          operationId,
        });
        break;
      case 'refusal':
        refusals.push({
          digest: record.digest,
          by: record.by,
          code: record.code,
          reason: record.reason,
          at,
          operationId,
        });
        break;
      case 'kept': {
        const { keptId: id, what, where, host, sizeBytes } = record;
        kept.set(id, { id, cluster, what, where, host, sizeBytes, since: at, operationId });
        break;
      }
      case 'kept-dropped':
        kept.delete(record.keptId);
        break;
      case 'key-proof':
        keyProofs.set(record.recipient, { at, by });
        break;
      case 'incident': {
        const { incidentId: id, scenario, state, text } = record;
        const before = incidents.get(id);
        const history = [...(before?.history ?? []), { at, state, text, by }];
        incidents.set(id, {
          id,
          scenario,
          state,
          operationId,
          openedAt: before?.openedAt ?? at,
          updatedAt: at,
          history,
        });
        break;
      }
      case 'journal': {
        const line = { at, by, step: record.step, text: record.text, workflowId: record.workflowId };
        const lines = journal.get(operationId);
        if (lines) lines.push(line);
        else journal.set(operationId, [line]);
        break;
      }
      case 'outcome':
        outcomes.set(operationId, { outcome: record.outcome, workflowId: record.workflowId, at });
        break;
    }
  }

  for (const [id, until] of holds) if (until !== 'infinity' && Date.parse(until) <= now.getTime()) holds.delete(id);

  return {
    backups: [...backups.values()].map((known) => toBackup(known, holds)).sort(byStart),
    pins,
    holds,
    kept: [...kept.values()],
    plans,
    approvals,
    refusals,
    keyProofs,
    incidents,
    outcomes,
    unmade,
    journalOf: (operationId) => journal.get(operationId) ?? [],
    pinnedBackups: () => new Set([...pins.values()].flatMap(({ backupIds }) => backupIds)),
  };
}

const pieceOf = (operationId: string, backupId: string): string => JSON.stringify([operationId, backupId]);

function toBackup({ proofs, quarantined, ...facts }: Known, holds: ReadonlyMap<string, string>): Backup {
  return {
    ...facts,
    status: quarantined ? 'quarantined' : 'complete',
    proven: highest(proofs),
    heldUntil: holds.get(facts.id) ?? null,
  };
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
