import type { ConnectionConfig } from '../../domain/config.js';
import type { MediaVerdict } from '../../domain/media/media.js';
import { listMedia } from '../../media/place.js';
import { verifySample } from '../../media/verify.js';
import { withNamedKeys } from '../../postgres/content/named-keys.js';
import type { ClusterContext } from '../cluster-context.js';
import { mediaOf, openPlace } from './places.js';

/** Where rows that name objects are: a server, and what a database of the configuration is called there. */
interface NamingRows {
  readonly connection: ConnectionConfig;
  readonly nameOf: (database: string) => string;
}

/** Reads some objects of a cluster's media, chosen by chance: of those that rows name, where an `objects_query` says which. */
export async function sampleMedia(
  clusterContext: ClusterContext,
  { connection, nameOf }: NamingRows,
  media: string,
  options: { readonly objects: number; readonly signal: AbortSignal },
): Promise<MediaVerdict> {
  const configured = mediaOf(clusterContext, media);
  const place = openPlace(clusterContext, configured);
  if (configured.objectsQuery === undefined) return verifySample(place, listMedia(place), options);
  const { database, query } = configured.objectsQuery;
  const { checksRole } = clusterContext.cluster;
  return withNamedKeys({ connection, checksRole }, nameOf(database), query, (keys) =>
    verifySample(place, keys, options),
  );
}
