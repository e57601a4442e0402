import { join } from 'node:path';
import { z } from 'zod';
import type { StepEvent } from '../domain/operation/step-events.js';
import { ledgerFileName } from '../files/safe-names.js';
import { createJsonOnce, jsonFilesIn, readJson, readJsonAs, removeState } from './state-files.js';

/** Which workflow an operation belongs to, as the Temporal server told this host when its first step came. */
export interface OperationClaim {
  readonly operationId: string;
  readonly cluster: string;
  /** Null for a step that no workflow scheduled. */
  readonly workflowId: string | null;
  /** The execution that its run descends from. */
  readonly firstRunId: string | null;
  readonly at: string;
  /** Since when this host itself had seen the cluster fail; null where it did not. */
  readonly failingSince: string | null;
}

/** What this host knows of operations by itself: whose they are, whether they have ended, what their steps did and when. */
export interface OperationLedger {
  /** Takes an operation for a workflow, once; returns whose it is now. */
  claim(claim: OperationClaim): Promise<OperationClaim>;
  claimOf(operationId: string): Promise<OperationClaim | null>;
  /** Claims of a cluster's operations that have not ended. */
  open(cluster: string): Promise<readonly OperationClaim[]>;
  /** Ends an operation, however it ended: nothing is planned for it any more. */
  end(operationId: string): Promise<void>;
  hasEnded(operationId: string): Promise<boolean>;
  note(operationId: string, event: StepEvent): Promise<void>;
  /** In the order of time. */
  events(operationId: string): Promise<readonly StepEvent[]>;
}

const claimFile = z.looseObject({
  operationId: z.string(),
  cluster: z.string(),
  workflowId: z.string().nullable(),
  firstRunId: z.string().nullable(),
  at: z.string(),
  failingSince: z.string().nullable(),
});
const eventFile = z.looseObject({
  at: z.string(),
  plan: z.string(),
  step: z.string(),
  what: z.enum(['begun', 'done', 'failed', 'decided']),
  retry: z.number(),
});

export function openOperationLedger(stateDir: string): OperationLedger {
  const operations = join(stateDir, 'operations');
  const ofClaim = (operationId: string) => join(operations, `${ledgerFileName(operationId)}.json`);
  const ofEnd = (operationId: string) => join(operations, 'ended', `${ledgerFileName(operationId)}.json`);
  const ofEvents = (operationId: string) => join(stateDir, 'steps', ledgerFileName(operationId));
  const hasEnded = async (operationId: string) => (await readJson(ofEnd(operationId))) !== null;
  const claimOf = async (operationId: string): Promise<OperationClaim | null> => {
    const open = await readJsonAs<OperationClaim>(ofClaim(operationId), claimFile);
    if (open !== null) return open;
    const ended = claimFile.safeParse(await readJson(ofEnd(operationId)));
    return ended.success ? ended.data : null;
  };

  return {
    claimOf,
    hasEnded,

    async claim(claim) {
      const known = await claimOf(claim.operationId);
      if (known !== null) return known;
      const mine = await createJsonOnce(ofClaim(claim.operationId), claim);
      return mine ? claim : ((await claimOf(claim.operationId)) ?? claim);
    },

    async open(cluster) {
      const found = await Promise.all(
        (await jsonFilesIn(operations)).map((name) => readJsonAs<OperationClaim>(join(operations, name), claimFile)),
      );
      return found.filter((claim) => claim !== null && claim.cluster === cluster) as readonly OperationClaim[];
    },

    // Ended ones lie apart: a sweep reads those that are open, however many years there have been.
    async end(operationId) {
      const claim = await readJsonAs<OperationClaim>(ofClaim(operationId), claimFile);
      await createJsonOnce(ofEnd(operationId), { operationId, ...claim, endedAt: new Date().toISOString() });
      await removeState(ofClaim(operationId));
    },

    async note(operationId, event) {
      // Two attempts in the same millisecond are two events.
      for (let count = 0; ; count++) {
        const name = `${Date.parse(event.at)}-${String(count).padStart(4, '0')}.json`;
        if (await createJsonOnce(join(ofEvents(operationId), name), event)) return;
      }
    },

    async events(operationId) {
      const directory = ofEvents(operationId);
      const names = await jsonFilesIn(directory);
      const found = await Promise.all(names.map((name) => readJsonAs<StepEvent>(join(directory, name), eventFile)));
      return found.filter((event) => event !== null);
    },
  };
}
