import { InvalidArgumentError } from 'commander';
import { parseInstant } from '../domain/target/instant.js';
import { parseDuration } from '../domain/text/units.js';

/** `90s`, `5m`, `4h`, `7d` as seconds. */
export function parseSeconds(text: string): number {
  try {
    return parseDuration(text);
  } catch {
    throw new InvalidArgumentError('It is a number with s, m, h or d, e.g. 90s, 5m, 4h, 7d.');
  }
}

/** A whole number from 0. */
export function parseCount(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('It is a whole number, e.g. 100.');
  return Number(text);
}

/** An instant with its offset, as UTC; F26: one without is refused, with both readings. */
export function parseTime(text: string): string {
  return parseInstant(text, localZone());
}

/** Zone of the person at the terminal: only to show what an ambiguous time may mean. */
export function localZone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone;
}

/** Gathers an option given several times. */
export function collect(value: string, earlier: readonly string[] | undefined): readonly string[] {
  return [...(earlier ?? []), value];
}
