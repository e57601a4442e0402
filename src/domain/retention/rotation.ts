/** A backup and why it stays or goes. */
export interface Verdict {
  readonly id: string;
  readonly reason: string;
}
export interface RotateOutput {
  readonly keep: readonly Verdict[];
  readonly remove: readonly Verdict[];
  readonly removed: readonly string[];
  readonly refused?: { readonly reason: string; readonly hint: string };
}
