import { z } from 'zod';
import type { SecretReference } from './config.js';
import { holdsNoNul, noNulRule, pathPattern, pathRule } from './text/text-rules.js';

const rule =
  'a secret may not stand in this file\nHINT: write { env: NAME }, { file: PATH } or { command: [program, argument, ...] }';
const argument = z.string().refine(holdsNoNul, noNulRule);

/** Where a secret is kept (F39). What stands in its place is never repeated in a message. */
export const secretReference = (): z.ZodType<SecretReference> =>
  z.union(
    [
      z.strictObject({ env: z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/) }),
      z.strictObject({ file: z.string().regex(pathPattern) }),
      z.strictObject({ command: z.array(argument).min(1) }),
    ],
    { error: rule },
  );

/** File of the authorities that sign the server's certificate. */
export const caFile = () =>
  z
    .string()
    .regex(pathPattern, pathRule)
    .optional()
    .describe("PEM file of the authorities that sign the server's certificate; absent: those of this system.");
