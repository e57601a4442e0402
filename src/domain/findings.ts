import { explain, isRepriseError } from './errors.js';

/** One result of `doctor` or `check`, and what to do about it. */
export interface Finding {
  /** What was checked, stable, e.g. `repository/local`. */
  readonly check: string;
  readonly level: 'ok' | 'warning' | 'problem';
  readonly message: string;
  /** Next step in words or as a command; null where nothing is to be done. */
  readonly fix: string | null;
}

export const ok = (check: string, message: string): Finding => ({ check, level: 'ok', message, fix: null });
export const warning = (check: string, message: string, fix: string): Finding => ({
  check,
  level: 'warning',
  message,
  fix,
});
export const problem = (check: string, message: string, fix: string): Finding => ({
  check,
  level: 'problem',
  message,
  fix,
});

/** Runs one check. Where it throws, that is a finding too, so that one check never hides the others. */
export async function collectFindings(
  check: string,
  run: () => Promise<readonly Finding[]>,
): Promise<readonly Finding[]> {
  try {
    return await run();
  } catch (error) {
    if (isRepriseError(error)) return [problem(check, error.message, error.hint ?? explain(error))];
    return [
      problem(
        check,
        error instanceof Error ? error.message : String(error),
        'check that this user may read it, then: reprise doctor',
      ),
    ];
  }
}
