import type { TableCount } from './backup.js';
import type { RecordedObjects } from './recorded-objects.js';

/** Name of the line that stands for all large objects of a database. */
export const LARGE_OBJECTS = { schema: 'pg_catalog', table: 'pg_largeobject' } as const;

/** Large objects as a table of which rows, and perhaps a hash, were recorded; none where a database had none. */
export function largeObjectCounts(objects: RecordedObjects | undefined): readonly TableCount[] {
  return (objects?.databases ?? [])
    .filter(({ largeObjects }) => largeObjects.count > 0)
    .map(({ database, largeObjects: { count, hash } }) => ({
      ...{ database, ...LARGE_OBJECTS, rows: count },
      ...(hash === undefined ? {} : { hash }),
    }));
}
