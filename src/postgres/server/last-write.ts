import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isSegmentName } from '../../domain/target/wal.js';

/**
 * When a server last wrote its control file or a WAL segment, UTC ISO-8601: whatever was committed in the directory was committed
 * before. Null where neither is there.
 */
export async function lastWriteIn(dataDir: string): Promise<string | null> {
  const wal = join(dataDir, 'pg_wal');
  const segments = (await readdir(wal).catch(() => [] as string[])).filter(isSegmentName);
  const files = [join(dataDir, 'global', 'pg_control'), ...segments.map((name) => join(wal, name))];
  const times = await Promise.all(
    files.map((file) =>
      stat(file).then(
        ({ mtimeMs }) => mtimeMs,
        () => 0,
      ),
    ),
  );
  const last = Math.max(...times);
  return last === 0 ? null : new Date(last).toISOString();
}
