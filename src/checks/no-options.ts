import { z } from 'zod';

/** Of kinds that have no keys besides `type`. */
export const noOptions = z.strictObject({});

export function readNoOptions(): Readonly<Record<string, never>> {
  return {};
}
