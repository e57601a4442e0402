/** Times of the WAL, in microseconds since 1970: a number holds them for some centuries. */

/** UTC ISO-8601 with microseconds. */
export function instantText(microseconds: number): string {
  const milliseconds = Math.floor(microseconds / 1000);
  const rest = String(microseconds - milliseconds * 1000).padStart(3, '0');
  return `${new Date(milliseconds).toISOString().slice(0, -1)}${rest}Z`;
}

/** Reads UTC ISO-8601 with up to six digits of a second. */
export function microsecondsOf(instant: string): number {
  const [, whole = instant, fraction = ''] = /^(.*?)(?:\.(\d{1,6})\d*)?Z$/.exec(instant) ?? [];
  return Date.parse(`${whole}Z`) * 1000 + Number(fraction.padEnd(6, '0'));
}
