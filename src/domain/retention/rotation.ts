/** A backup and why it stays or goes. */
export interface RetentionDecision {
  readonly id: string;
  readonly reason: string;
}
export interface RotateOutput {
  readonly keep: readonly RetentionDecision[];
  readonly remove: readonly RetentionDecision[];
  readonly removed: readonly string[];
  readonly refused?: { readonly reason: string; readonly hint: string };
}
