import { z } from 'zod';
import { holdsNoNul, noNulRule } from '../../domain/fields.js';
import { parseSize, sizePattern, sizeRule } from '../../domain/text/units.js';
import { named, positive, reference } from './fields.js';
import type { KnownNames } from '../known-names.js';

/** CopyObject takes no more (Amazon S3 API reference). */
const MOST_IN_ONE_COPY = '5GiB';

const text = (rule: string) => z.string().min(1, rule).refine(holdsNoNul, noNulRule);

/** Schema of `media`: folders of objects that belong to a cluster, as the photographs that its rows name. */
export function mediaSchema(names: KnownNames) {
  return named(
    'media',
    z
      .strictObject({
        repository: reference('repository', 'repositories', names.repositories).describe(
          'Repository that contains them, and no backups.',
        ),
        prefix: z
          .string()
          .default('')
          .refine((prefix) => !prefix.startsWith('/'), 'a prefix has no slash in front')
          .describe('Folder in the repository; absent: the whole repository.'),
        cluster: reference('cluster', 'clusters', names.clusters).describe(
          'Cluster they belong to; its host does the work, and its approvals apply.',
        ),
        concurrency: positive().max(48).default(16).describe('Objects that are transferred at once.'),
        multipart_copy_above: z
          .string({ error: sizeRule })
          .regex(sizePattern, sizeRule)
          .default(MOST_IN_ONE_COPY)
          .refine(
            (text) => !sizePattern.test(text) || parseSize(text) <= parseSize(MOST_IN_ONE_COPY),
            `S3 copies no more than ${MOST_IN_ONE_COPY} at once`,
          )
          .transform(parseSize)
          .describe(`Larger objects are copied in parts; at most ${MOST_IN_ONE_COPY}.`),
        objects_query: z
          .strictObject({
            database: text('expected the name of a database').describe('Database of the cluster the query runs in.'),
            query: text('expected a query').describe('Query whose first column gives keys, relative to the prefix.'),
          })
          .optional()
          .describe('Keys that rows refer to: checked after a recovery with `--with-media`.'),
      })
      .transform(
        ({
          repository,
          prefix,
          cluster,
          concurrency,
          multipart_copy_above: singleCopyBytes,
          objects_query: objectsQuery,
        }) => ({
          repository,
          // A folder, never the beginning of a name: `photos` does not hold `photos-old/1.jpg`.
          folder: prefix === '' || prefix.endsWith('/') ? prefix : `${prefix}/`,
          cluster,
          concurrency,
          singleCopyBytes,
          objectsQuery,
        }),
      ),
  );
}
