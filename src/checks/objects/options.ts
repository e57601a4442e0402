import { z } from 'zod';

/** Keys of a check of type `objects`, besides `type`. */
export const objectsOptions = z.strictObject({
  except: z
    .array(z.string().min(1))
    .default([])
    .describe(
      'Roles, tablespaces, extensions, definitions and indexes that are left out, as the check names them, with * for any text.',
    ),
});

/** What the check reads from `CheckConfig.options`. */
export interface ObjectsOptions extends Readonly<Record<string, unknown>> {
  readonly except: readonly string[];
}

export function readObjectsOptions(options: z.output<typeof objectsOptions>): ObjectsOptions {
  return options;
}
