/** A range of time, UTC ISO-8601. */
export interface Window {
  readonly from: string;
  readonly to: string;
}

/** An instant of a window, to the millisecond: `fraction` from 0 to 1 says where in it. */
export function instantIn({ from, to }: Window, fraction: number): string {
  const [first, last] = [Date.parse(from), Date.parse(to)];
  // Digits below a millisecond are cut off: the window may begin later within its first one.
  const earliest = Math.min(last, first + 1);
  return new Date(Math.max(earliest, Math.min(last, Math.floor(first + (last - first) * fraction)))).toISOString();
}

/** Where in a window a random choice falls: the first 48 bits of a hash (hex), from 0 to just below 1. */
export function fractionOf(hash: string): number {
  return Number.parseInt(hash.slice(0, 12), 16) / 2 ** 48;
}
