import { z } from 'zod';
import { path } from '../../domain/fields.js';

/** Keys of a repository of type `directory`, besides `type` and `host`. */
export const directoryOptions = z.strictObject({
  path: path().describe('Directory of the repository, mode 0700.'),
});

/** What {@link import('../open-storage.js').openStorage} reads from `repository.options`; `path` is absolute. */
export interface DirectoryOptions extends Readonly<Record<string, unknown>> {
  readonly path: string;
}
