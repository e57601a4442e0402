import { explain, isRepriseError } from '../domain/errors.js';
import type { Finding } from '../domain/findings.js';

export const ok = (check: string, message: string): Finding => ({ check, level: 'ok', message, fix: null });
export const warning = (check: string, message: string, fix: string): Finding => ({
  check,
  level: 'warning',
  message,
  fix,
});
export const wrong = (check: string, message: string, fix: string): Finding => ({
  check,
  level: 'problem',
  message,
  fix,
});

/** Runs one look; what it fails with is a finding too, so that one look never hides the others. */
export async function looked(check: string, look: () => Promise<readonly Finding[]>): Promise<readonly Finding[]> {
  try {
    return await look();
  } catch (error) {
    if (isRepriseError(error)) return [wrong(check, error.message, error.hint ?? explain(error))];
    return [
      wrong(
        check,
        error instanceof Error ? error.message : String(error),
        'see that this user may read it, then run `reprise doctor` again',
      ),
    ];
  }
}
