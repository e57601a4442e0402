import { z } from 'zod';
import { pathPattern, pathRule } from '../../domain/text/text-rules.js';

/** Keys of a repository of type `directory`, besides `type` and `host`. */
export const directoryOptions = z.strictObject({
  path: z.string().regex(pathPattern, pathRule).describe('Root of the repository; owner-only.'),
});

/** What {@link import('../registry.js').openStorage} reads from `repository.options`; `path` is absolute. */
export interface DirectoryOptions extends Readonly<Record<string, unknown>> {
  readonly path: string;
}
