import type { Settings } from '../recovery/auto-conf.js';

const MEGABYTE = 1024 * 1024;
/** `min_wal_size` and `max_wal_size` of a server to which nobody says them, in MB; neither may be less than two segments. */
const [LEAST, LARGEST] = [80, 1024];

/**
 * What a configuration that does not come from initdb has to say for segments of more than 32 MB: the server does not start with its
 * defaults then.
 */
export function walSizes(segmentBytes: number): Settings {
  const twoSegments = (2 * segmentBytes) / MEGABYTE;
  if (twoSegments <= LEAST) return {};
  return { min_wal_size: `${twoSegments}MB`, max_wal_size: `${Math.max(LARGEST, twoSegments)}MB` };
}
