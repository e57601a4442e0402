import type { ErrorCode } from '../../domain/errors.js';
import { redact } from '../../domain/text/redact.js';

/** What one complaint of a tool means. */
export interface ToolRule {
  readonly says: RegExp;
  readonly code: ErrorCode;
  readonly message: string;
  /** What the person does next. */
  readonly hint: string;
}

/** The first rule that fits what a tool printed: rules are listed most telling first. */
export function ruleFor<T extends ToolRule>(rules: readonly T[], output: string): T | undefined {
  return rules.find(({ says }) => says.test(output));
}

/** First line of a message, short, without row values or secrets (F39). */
export function withoutValues(message: string): string {
  const [line = ''] = redact(message).split('\n');
  return line.slice(0, 300).trim();
}
