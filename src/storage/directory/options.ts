import { z } from 'zod';
import { path } from '../../domain/fields.js';

/** Keys of a repository of type `directory`, besides `type` and `host`. */
export const directoryOptions = z.strictObject({
  path: path().describe('Root of the repository; owner-only.'),
});

/** What {@link import('../registry.js').openStorage} reads from `repository.options`; `path` is absolute. */
export interface DirectoryOptions extends Readonly<Record<string, unknown>> {
  readonly path: string;
}
