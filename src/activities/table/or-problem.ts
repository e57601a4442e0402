import { isRepriseError } from '../../domain/errors.js';

/** Looks; where that fails for a reason that people can read, notes it among the problems, and goes on with something else. */
export async function orProblem<T, O>(
  problems: string[],
  what: string,
  look: () => Promise<T>,
  otherwise: O,
): Promise<T | O> {
  try {
    return await look();
  } catch (error) {
    if (!isRepriseError(error)) throw error;
    problems.push(`${what}: ${error.message}`);
    return otherwise;
  }
}
