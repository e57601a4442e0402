import type { Backup } from '../../src/domain/backup/backup.js';
import type { BoundBackup, Engine, ReadContext } from '../../src/engines/engine.js';

/** A backup and the hashes of what is in the repository now, whatever was recorded of it. */
export async function bound(engine: Engine, context: ReadContext, backup: Backup): Promise<BoundBackup> {
  const unrecorded = { ...backup, sha256: undefined, manifestSha256: undefined };
  return { backup, content: await engine.bindBackup(context, unrecorded, []) };
}
