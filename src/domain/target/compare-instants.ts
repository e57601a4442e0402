/** Orders two UTC ISO-8601 instants with up to six digits of a second: a JavaScript date keeps only three. */
export function compareInstants(a: string, b: string): number {
  const [left, right] = [withMicroseconds(a), withMicroseconds(b)];
  return left < right ? -1 : left > right ? 1 : 0;
}

function withMicroseconds(instant: string): string {
  const [seconds = '', fraction = ''] = instant.replace(/Z$/, '').split('.');
  return `${seconds}.${fraction.padEnd(6, '0')}`;
}
