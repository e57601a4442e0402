import { join } from 'node:path';
import type { OsUser } from '../../process/jobs/jobs.js';
import { writeFileAtomic } from '../../files/atomic-file.js';
import { pathExists } from '../../files/paths.js';

/** Access from this host only, by the passwords and users of the cluster. */
const HBA = `local all all peer
host all all 127.0.0.1/32 scram-sha-256
host all all ::1/128 scram-sha-256
`;

/**
 * Gives a restored copy the configuration files it lacks: Debian keeps them in /etc, outside the data directory, and
 * without them a server does not start there. Files that came with the copy stay as they are.
 */
export async function addMissingConfiguration(dataDir: string, user: OsUser | null): Promise<void> {
  const files = {
    'postgresql.conf': '# Written by Reprise: the copy came without one.\n',
    'pg_hba.conf': HBA,
    'pg_ident.conf': '',
  };
  for (const [name, content] of Object.entries(files)) {
    const path = join(dataDir, name);
    if (!(await pathExists(path))) await writeFileAtomic(path, content, user);
  }
}
