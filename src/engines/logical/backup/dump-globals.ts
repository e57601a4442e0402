import { join } from 'node:path';
import { libpqEnv } from '../../../postgres/connection/environment.js';
import { encryptingArgv } from '../../../process/age/age.js';
import { runProgram } from '../../../process/exec/run-program.js';
import type { EngineContext } from '../../engine.js';
import { inTermsOfTool } from '../../shared/run-tool-job.js';
import { LOGICAL_TOOLS } from '../tool-rules.js';
import type { Encryption } from '../../../domain/backup/backup.js';
import { globalsPlace } from './globals-place.js';
import { writingArgv } from '../encryption.js';
import { fingerprint } from '../../shared/hash.js';
import type { DumpFacts } from '../repository/manifest.js';
import { databaseConninfo } from '../tools.js';

/**
 * Writes roles and tablespaces to a key of the repository, owner-only. Passwords, which are hashes there, can
 * be read by a superuser only; a lesser role leaves them out, and the manifest says so. So it does where no database takes the
 * names of roles: then the dump goes on without them.
 *
 * @throws RepriseError with the reason pg_dumpall gives
 */
export async function dumpGlobals(
  context: EngineContext,
  key: string,
  { passwords, versionNum }: { readonly passwords: boolean; readonly versionNum: number },
  encryption: Encryption | null,
): Promise<DumpFacts['globals']> {
  const { connection } = context.cluster;
  const { database, reason } = await globalsPlace(connection);
  const tool =
    database === null
      ? ['echo', '-- There are no roles in this file.']
      : [
          join(context.pgBin, 'pg_dumpall'),
          '--globals-only',
          '--no-password',
          `--database=${databaseConninfo(database)}`,
          ...(passwords ? [] : ['--no-role-passwords']),
        ];
  const options = {
    user: context.user,
    env: libpqEnv(connection, database ?? connection.maintenanceDatabase, versionNum),
    signal: context.signal,
  };
  try {
    if (!context.storage.capabilities.localPath || database === null) {
      // Small: it needs no job of its own.
      const argv = encryption === null ? tool : await encryptingArgv(encryption.recipients, tool);
      const { stdout } = await runProgram(['/bin/bash', '-c', AS_BASE64, 'base64', ...argv], options);
      await context.storage.write(key, Buffer.from(stdout, 'base64'));
    } else {
      await runProgram(await writingArgv(context, encryption, key, tool), options);
    }
  } catch (error) {
    await context.storage.remove(key);
    throw inTermsOfTool(LOGICAL_TOOLS, 'pg_dumpall', error);
  }
  return {
    ...(await fingerprint(context, key, 'roles and tablespaces')),
    passwords,
    ...(database === null && reason !== null ? { missing: reason } : {}),
  };
}

/** A program's output is text to us, and names may be bytes of any encoding. */
const AS_BASE64 = 'set -o pipefail; "$@" | base64 --wrap=0';
