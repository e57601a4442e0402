import type { HoldOrder } from '../operation/orders.js';
import type { ApprovableBinding, ApprovablePlan } from '../plan/plan.js';
import { type FreezeMeans, isRepairPlan, type RepairPlan } from './repair.js';
import type { TableName } from './table-name.js';

export interface HoldBinding extends ApprovableBinding {
  readonly action: 'table-freeze';
  readonly order: HoldOrder;
  readonly systemIdentifier: string;
  /** Null: only hooks run. */
  readonly freeze: FreezeMeans | null;
  readonly hooks: readonly string[];
  readonly undoHooks?: Readonly<Record<string, string>>;
}

/** Writes to a table are blocked, and batches stopped, until somebody releases it. */
export interface HoldPlan extends ApprovablePlan {
  readonly binding: HoldBinding;
  readonly observed: {
    readonly approval: { readonly approvers: number; readonly from: readonly string[] } | null;
    /** Workflow id of the incident that it belongs to, as told; absent: none. */
    readonly incident?: string;
    readonly warnings: readonly string[];
  };
}

export function isHoldPlan(plan: ApprovablePlan): plan is HoldPlan {
  return plan.binding.action === 'table-freeze';
}

/** A plan that keeps others from writing to a table. */
export type BlockingPlan = RepairPlan | HoldPlan;

export function isBlockingPlan(plan: ApprovablePlan): plan is BlockingPlan {
  return isRepairPlan(plan) || isHoldPlan(plan);
}

/** A table that a workflow keeps frozen, or is to keep; the memo of that workflow has it too. */
export interface HeldTable {
  readonly database: string;
  readonly table: TableName;
  /** UTC ISO-8601; null: not frozen yet. */
  readonly since: string | null;
  /** When it is released by itself, UTC ISO-8601; null: when somebody releases it. */
  readonly until: string | null;
}

/** How a hold ended. */
export interface HoldOutcome {
  readonly database: string;
  readonly table: TableName;
  /** UTC ISO-8601. */
  readonly frozenAt: string;
  readonly releasedAt: string;
  /** Asserted; null: its time was over. */
  readonly releasedBy: string | null;
  readonly reason: string | null;
}
