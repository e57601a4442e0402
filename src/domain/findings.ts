/** One thing `doctor` looked at, and what to do about it. */
export interface Finding {
  /** What was looked at, stable, e.g. `repository/local`. */
  readonly check: string;
  readonly level: 'ok' | 'warning' | 'problem';
  readonly message: string;
  /** Next step in words or as a command; null where nothing is to be done. */
  readonly fix: string | null;
}
