import { RepriseError } from '../domain/errors.js';

/** Where in the config: keys and list positions from the top. */
export type ConfigPath = readonly (string | number)[];

/** One thing that is wrong in the config. */
export interface Problem {
  readonly path: ConfigPath;
  /** True where the key itself is meant and not its value. */
  readonly atKey?: boolean;
  /** Lowercase sentence; never holds a value that could be a secret. */
  readonly message: string;
  readonly hint?: string;
}

/** A problem with its place in the file; lines and columns count from 1. */
export interface PlacedProblem extends Problem {
  readonly line: number;
  readonly column: number;
}

/** All problems as one error `config-invalid`: `file:line:column: message`, in the order of the file. */
export function configInvalid(file: string, problems: readonly PlacedProblem[]): RepriseError {
  const sorted = [...problems].sort((left, right) => left.line - right.line || left.column - right.column);
  const text = ({ line, column, message }: PlacedProblem) => `${file}:${line}:${column}: ${message}`;
  const details = {
    problems: sorted.map(({ line, column, message, hint }) => ({ file, line, column, message, hint })),
  };
  const [only, ...others] = sorted;
  if (only && others.length === 0) {
    return new RepriseError('config-invalid', text(only), only.hint, details);
  }
  const lines = sorted.map((problem) => text(problem) + (problem.hint === undefined ? '' : ` (${problem.hint})`));
  return new RepriseError(
    'config-invalid',
    lines.join('\n'),
    `correct these ${sorted.length} places, then: reprise config check`,
    details,
  );
}

/** Message and hint in the one text that a schema's issue can carry; {@link splitHint} takes them apart again. */
export function withHint(message: string, hint: string): string {
  return `${message}\nHINT: ${hint}`;
}

export function splitHint(text: string): Pick<Problem, 'message' | 'hint'> {
  const [message = '', hint] = text.split('\nHINT: ', 2);
  return hint === undefined ? { message } : { message, hint };
}
