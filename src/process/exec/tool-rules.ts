import type { ErrorCode } from '../../domain/errors.js';
import { RepriseError } from '../../domain/errors.js';
import { redact } from '../../domain/text/redact.js';

/** What one failure of a tool means. Whether another start may help, the error table says of its code. */
export interface ToolRule {
  /** What the tool prints; absent: the exit code is enough. */
  readonly pattern?: RegExp;
  /** Exit codes that mean this; absent: any. */
  readonly exitCodes?: readonly number[];
  readonly code: ErrorCode;
  readonly message: string;
  /** What the person does next. */
  readonly hint: string;
  /** Another start is of no use, whatever the error table says of the code. */
  readonly final?: true;
  /** The part of the output that the message repeats; null: none, as it may hold a secret. Default: the error line. */
  readonly repeats?: RegExp | null;
}

/** The failures of tools that speak alike. */
export interface ToolTable {
  /** The first rule that fits counts: the most specific ones go first. */
  readonly rules: readonly ToolRule[];
  /** The line of an output that says why, without row values or secrets; empty where there is none. */
  readonly errorLine: (output: string) => string;
}

/** A tool that ended with a failure. */
export interface FailedTool {
  /** What people call it, with its command where it has several: `pg_dump`, `pgbackrest backup`. */
  readonly name: string;
  /** Null where a signal ended it. */
  readonly exitCode: number | null;
  /** The end of its stderr. */
  readonly output: string;
  readonly details?: Readonly<Record<string, unknown>>;
}

/** What a failure means by a table; undefined where no rule knows it. */
export function meaningOf({ rules, errorLine }: ToolTable, failed: FailedTool): RepriseError | undefined {
  const { name, exitCode, output, details } = failed;
  const rule = rules.find(
    ({ pattern, exitCodes }) =>
      (pattern === undefined || pattern.test(output)) &&
      (exitCodes === undefined || (exitCode !== null && exitCodes.includes(exitCode))),
  );
  if (rule === undefined) return undefined;
  const { repeats } = rule;
  const said = repeats === undefined ? errorLine(output) : (repeats?.exec(output)?.[0] ?? '');
  return new RepriseError(rule.code, `${name}: ${rule.message}${said === '' ? '' : `: ${said}`}`, rule.hint, {
    ...details,
    tool: name,
    ...(rule.final ? { final: true } : {}),
  });
}

/** The same; where no rule knows the failure, `tool-failed` with what the tool printed. */
export function toolFailure(table: ToolTable, failed: FailedTool): RepriseError {
  const { name, exitCode, output, details } = failed;
  const line = table.errorLine(output);
  return (
    meaningOf(table, failed) ??
    new RepriseError(
      'tool-failed',
      `${name} ${exitCode === null ? 'failed' : `exited with ${exitCode}`}${line === '' ? '' : `: ${line}`}`,
      'Remove what the message names, then run the step again.',
      { ...details, tool: name },
    )
  );
}

/** First line of a message, short, without row values or secrets. */
export function withoutValues(message: string): string {
  const [line = ''] = redact(message).split('\n');
  return line.slice(0, 300).trim();
}
