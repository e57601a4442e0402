import { RepriseError } from '../errors.js';

const secondsIn: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };
const bytesIn: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
};

/** One unit only, so that a duration reads the same to everyone; nine digits cannot leave the safe integers. */
export const durationPattern = /^([1-9]\d{0,8})([smhd])$/;
export const durationRule = 'expected a duration such as 90s, 5m, 4h or 7d';

/** Decimal and binary units are told apart, as IEC 80000-13 does; `k` alone is not a size. */
export const sizePattern = /^([1-9]\d{0,8}(?:\.\d{1,3})?)(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)$/;
export const sizeRule = 'expected a size such as 500MB or 2GiB';

/** Seconds of `90s`, `5m`, `4h`, `7d`. Throws `usage` for anything else, zero included. */
export function parseDuration(text: string): number {
  const [, amount, unit] = durationPattern.exec(text) ?? [];
  if (amount === undefined || unit === undefined) {
    throw new RepriseError('usage', `"${text}" is no duration`, durationRule);
  }
  return Number(amount) * (secondsIn[unit] ?? 0);
}

/** Bytes of `500MB` (decimal) or `2GiB` (binary), rounded to whole bytes. Throws `usage` for anything else. */
export function parseSize(text: string): number {
  const [, amount, unit] = sizePattern.exec(text) ?? [];
  const bytes = Math.round(Number(amount) * (bytesIn[unit ?? ''] ?? 0));
  if (unit === undefined || !Number.isSafeInteger(bytes)) {
    throw new RepriseError('usage', `"${text}" is no size`, sizeRule);
  }
  return bytes;
}
