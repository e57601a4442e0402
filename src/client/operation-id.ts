import { randomBytes } from 'node:crypto';

/** Id of one operation, made once and kept in its first input: UTC time for people, 6 hex digits against collisions. */
export function newOperationId(now = new Date()): string {
  const stamp = now.toISOString().replace(/[-:]/g, '').replace('T', '-').slice(0, 15);
  return `${stamp}-${randomBytes(3).toString('hex')}`;
}
