import { lstat, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { RepriseError } from '../domain/errors.js';
import type { Approval, ApprovablePlan, Sender } from '../domain/plan/plan.js';
import { type Confirmation, confirmationPath } from '../files/confirmations.js';
import { isDigest, planDigest, sha256Hex } from './digest.js';
import { createJsonOnce, jsonFilesIn, readJson, readJsonAs, replaceJson } from './state-files.js';
import { ledgerFileName } from '../files/safe-names.js';

/** An approval that policy accepted, and when. */
export interface StoredApproval extends Approval {
  readonly at: string;
  /** When this person first gave it, in this round; absent: as `at`. */
  readonly firstAt?: string;
  /** Who sent it; null or absent: nobody knows. */
  readonly sender?: Sender | null;
  /** Confirmed at a terminal of this host. */
  readonly confirmed?: true;
}

/** Which operation a plan was used for, and when. */
export interface PlanUse {
  readonly operationId: string;
  readonly at: string;
}

/** Old data as this host knows it, whatever the records in a repository say. */
export interface KeptOnHost {
  readonly id: string;
  readonly cluster: string;
  readonly operationId: string;
  /** Absolute path of a directory, else name of a database. */
  readonly where: string;
  /** Where the server of a database was recovered to; null for a directory. */
  readonly server: { readonly port: number; readonly targetHost: string } | null;
  /** Inode of the directory, or OID of the database, of a copy with the mark in its comment; null until it was there. */
  readonly mark: string | null;
  /** Directories outside of it that are part of it, such as a WAL directory on a disk of its own. */
  readonly parts?: readonly KeptPart[];
  /** It is a copy recovered beside, in a directory or a database of a name of its own: the place under `recovery.targets`. */
  readonly beside?: string;
}

export interface KeptPart {
  readonly where: string;
  /** Inode; null where it never was there. */
  readonly mark: string | null;
}

/**
 * Plans, approvals and the ledger of this host, outside of Temporal: what a destructive activity believes, so that
 * neither a workflow started by hand nor a Reset gets around the approval.
 */
export interface HostState {
  /** Keeps a plan; one made again with the same binding replaces it, because what was observed is newer. */
  savePlan(plan: ApprovablePlan): Promise<void>;
  /** Null for a plan this host never made. Throws `plan-stale` for a record that was changed since. */
  readPlan(digest: string): Promise<ApprovablePlan | null>;
  /**
   * Keeps the last approval of each person, and when that person first gave it: one of two people who repeats an approval
   * does not repeat the other's.
   */
  saveApproval(digest: string, approval: Approval, at?: string, sender?: Sender | null): Promise<void>;
  approvals(digest: string): Promise<readonly StoredApproval[]>;
  /** Approvals given before `at` no longer count for the plan: it needs all of them again. */
  startRound(digest: string, at: string): Promise<void>;
  /** When the approvals that count began; null where all do. */
  roundOf(digest: string): Promise<string | null>;
  /** Every plan this host has made, the closed ones too. */
  plans(): Promise<readonly ApprovablePlan[]>;
  /** Every plan this host has made and that is not closed. */
  openPlans(): Promise<readonly ApprovablePlan[]>;
  /** Takes a plan for an operation, once: true for that operation, again too; false for any other, and once closed. */
  markUsed(digest: string, operationId: string): Promise<boolean>;
  usedBy(digest: string): Promise<PlanUse | null>;
  /** Ends a plan: executed, rejected or expired. Nothing can use it any more. */
  closePlan(digest: string): Promise<void>;
  isClosed(digest: string): Promise<boolean>;
  /** Old data that this host has kept, written before it is; what is kept already stays as it was written. */
  saveKept(kept: KeptOnHost): Promise<void>;
  /** Keeps by what that data, and each of its parts, is recognised, once it is there. */
  markKept(id: string, mark: string, ofParts?: readonly (string | null)[]): Promise<void>;
  kept(id: string): Promise<KeptOnHost | null>;
  /** Who has confirmed a plan on this very host; null where nobody has, or a file there was not written by one who may. */
  confirmation(digest: string): Promise<Confirmation | null>;
  /** A step of a used plan is at work now; until the next one, its window runs from here. */
  markActive(digest: string): Promise<void>;
  lastActive(digest: string): Promise<string | null>;
  /** The first step that cannot be undone begins: from then on the plan is carried through. */
  markBegun(digest: string): Promise<void>;
  hasBegun(digest: string): Promise<boolean>;
  /**
   * What a step with a side effect returned when it was done; null where it was not. With a plan: done for that plan, or by
   * a version that did not keep plans apart.
   */
  onceDone<T = unknown>(operationId: string, step: string, plan?: string): Promise<{ readonly result: T } | null>;
  /** Keeps the first result of a step, of a plan where one is named. */
  recordDone(operationId: string, step: string, result: unknown, plan?: string): Promise<void>;
}

const moment = z.looseObject({ at: z.string() });
/* What is read back: the rest of each file is kept as it is. */
const planUse = z.looseObject({ operationId: z.string(), at: z.string() });
const storedApproval = z.looseObject({ plan: z.string(), by: z.string(), reason: z.string(), at: z.string() });
const keptOnHost = z.looseObject({
  id: z.string(),
  cluster: z.string(),
  operationId: z.string(),
  where: z.string(),
  server: z.looseObject({ port: z.number(), targetHost: z.string() }).nullable(),
  mark: z.string().nullable(),
  beside: z.string().optional(),
  parts: z.array(z.looseObject({ where: z.string(), mark: z.string().nullable() })).optional(),
});
const confirmationFile = z.looseObject({ digest: z.string(), by: z.string(), at: z.string() });
const digestedPlan = z.looseObject({ digest: z.string(), binding: z.looseObject({}) });

/** @throws RepriseError `plan-unknown` from every method given a digest that is none. */
export function openHostState(stateDir: string): HostState {
  const planFile = (digest: string) => join(stateDir, 'plans', `${checked(digest)}.json`);
  const approvalsOf = (digest: string) => join(stateDir, 'approvals', checked(digest));
  const ledger = (digest: string, what: 'used' | 'closed' | 'round' | 'active' | 'begun') =>
    join(stateDir, 'ledger', `${checked(digest)}.${what}.json`);
  const doneFile = (operationId: string, step: string, plan?: string) =>
    join(
      stateDir,
      'done',
      ledgerFileName(operationId),
      ...(plan === undefined ? [] : [checked(plan)]),
      `${ledgerFileName(step)}.json`,
    );
  const timeIn = async (digest: string, what: 'round' | 'active') =>
    (await readJsonAs<{ at: string }>(ledger(digest, what), moment))?.at ?? null;

  const keptFile = (id: string) => join(stateDir, 'kept', `${sha256Hex(id)}.json`);
  const keptOf = async (id: string) => {
    const found = await readJsonAs<KeptOnHost>(keptFile(id), keptOnHost);
    return found?.id === id ? found : null;
  };

  const isClosed = async (digest: string) => (await readJson(ledger(digest, 'closed'))) !== null;
  const usedBy = (digest: string) => readJsonAs<PlanUse>(ledger(digest, 'used'), planUse);
  const planOf = async (digest: string): Promise<ApprovablePlan | null> => {
    const found = await readJson(planFile(digest));
    if (found === null) return null;
    if (!isUnchanged(found, digest)) throw changed(digest);
    return found;
  };

  const plansThat = async (wanted: (digest: string) => Promise<boolean>): Promise<readonly ApprovablePlan[]> => {
    const digests = (await jsonFilesIn(join(stateDir, 'plans')))
      .map((name) => name.slice(0, -'.json'.length))
      .filter(isDigest);
    const found: ApprovablePlan[] = [];
    for (const digest of digests) {
      if (!(await wanted(digest))) continue;
      // One that was changed is no plan: nothing can use it, and it hides no other.
      const plan = await planOf(digest).catch(() => null);
      if (plan !== null) found.push(plan);
    }
    return found;
  };

  return {
    isClosed,
    usedBy,

    async savePlan(plan) {
      if (planDigest(plan.binding) !== plan.digest) throw changed(plan.digest);
      await replaceJson(planFile(plan.digest), plan);
    },

    readPlan: planOf,

    async saveApproval(digest, approval, at = new Date().toISOString(), sender = null) {
      const file = join(approvalsOf(digest), `${sha256Hex(approval.by)}.json`);
      const earlier = await readJsonAs<StoredApproval>(file, storedApproval);
      const round = await timeIn(digest, 'round');
      const first = earlier && (round === null || earlier.at >= round) ? (earlier.firstAt ?? earlier.at) : at;
      const stored = { ...approval, at, ...(first === at ? {} : { firstAt: first }), ...(sender && { sender }) };
      await replaceJson(file, stored satisfies StoredApproval);
    },

    async startRound(digest, at) {
      await replaceJson(ledger(digest, 'round'), { at });
    },

    roundOf: (digest) => timeIn(digest, 'round'),

    async approvals(digest) {
      const directory = approvalsOf(digest);
      const names = await jsonFilesIn(directory);
      const found = await Promise.all(
        names.map((name) => readJsonAs<StoredApproval>(join(directory, name), storedApproval)),
      );
      return found.filter((approval) => approval !== null).sort((left, right) => (left.at < right.at ? -1 : 1));
    },

    plans: () => plansThat(() => Promise.resolve(true)),
    openPlans: () => plansThat(async (digest) => !(await isClosed(digest))),

    async markUsed(digest, operationId) {
      if (await isClosed(digest)) return false;
      const use: PlanUse = { operationId, at: new Date().toISOString() };
      const mine = await createJsonOnce(ledger(digest, 'used'), use);
      return mine || (await usedBy(digest))?.operationId === operationId;
    },

    async closePlan(digest) {
      await createJsonOnce(ledger(digest, 'closed'), { at: new Date().toISOString() });
      await rm(confirmationPath(stateDir, digest), { force: true });
    },

    async saveKept(kept) {
      await createJsonOnce(keptFile(kept.id), kept);
    },

    async markKept(id, mark, ofParts = []) {
      const found = await keptOf(id);
      if (found === null || found.mark !== null) return;
      const parts = found.parts?.map((part, index) => ({ ...part, mark: ofParts[index] ?? null }));
      await replaceJson(keptFile(id), { ...found, mark, ...(parts && { parts }) });
    },

    kept: keptOf,

    async confirmation(digest) {
      const file = confirmationPath(stateDir, checked(digest));
      if (!(await isWrittenHere(stateDir, file))) return null;
      const found = await readJsonAs<Confirmation>(file, confirmationFile);
      return found?.digest === digest ? found : null;
    },

    async markActive(digest) {
      await replaceJson(ledger(digest, 'active'), { at: new Date().toISOString() });
    },

    lastActive: (digest) => timeIn(digest, 'active'),

    async markBegun(digest) {
      await createJsonOnce(ledger(digest, 'begun'), { at: new Date().toISOString() });
    },

    hasBegun: async (digest) => (await readJson(ledger(digest, 'begun'))) !== null,

    async onceDone<T>(operationId: string, step: string, plan?: string) {
      const found = (file: string) => readJsonAs<{ result: T }>(file, z.looseObject({}));
      return (plan && (await found(doneFile(operationId, step, plan)))) || found(doneFile(operationId, step));
    },

    async recordDone(operationId, step, result, plan) {
      const at = new Date().toISOString();
      await createJsonOnce(doneFile(operationId, step, plan), { operationId, step, at, result });
    },
  };
}

function isUnchanged(found: unknown, digest: string): found is ApprovablePlan {
  if (!digestedPlan.safeParse(found).success) return false;
  const plan = found as ApprovablePlan;
  return plan.digest === digest && planDigest(plan.binding) === digest;
}

/** By root or by whom the state directory belongs to: nobody else may write where it is. */
async function isWrittenHere(stateDir: string, file: string): Promise<boolean> {
  const owners = [0, (await stat(stateDir)).uid];
  for (const path of [dirname(file), file]) {
    const found = await lstat(path).catch(() => null);
    if (found === null || found.isSymbolicLink()) return false;
    if (!owners.includes(found.uid) || (found.mode & 0o022) !== 0) return false;
  }
  return true;
}

/** A digest becomes a path: nothing else may. */
function checked(digest: string): string {
  if (isDigest(digest)) return digest;
  throw new RepriseError(
    'plan-unknown',
    `${JSON.stringify(digest.slice(0, 80))} is not the digest of a plan`,
    'a step that changes anything takes the 64 hex digits of a plan that this host has made',
  );
}

function changed(digest: string): RepriseError {
  return new RepriseError(
    'plan-stale',
    `the record of plan ${digest.slice(0, 12)} does not match its digest`,
    'make the plan again and have it approved: nothing runs on a record that was changed',
  );
}
