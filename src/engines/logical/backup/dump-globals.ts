import { join } from 'node:path';
import { libpqEnv } from '../../../postgres/connection/environment.js';
import { encryptingArgv } from '../../../process/age/age.js';
import { runProgram } from '../../../process/exec/run-program.js';
import type { EngineContext } from '../../engine.js';
import { inTermsOfTool } from '../../shared/run-tool-job.js';
import { LOGICAL_TOOLS } from '../tool-rules.js';
import type { Encryption } from '../../../domain/backup/backup.js';
import { writingArgv } from '../encryption.js';
import { fingerprint } from '../../shared/hash.js';
import type { DumpFacts } from '../repository/manifest.js';
import { databaseConninfo } from '../tools.js';

/**
 * Writes roles and tablespaces to a key of the repository, owner-only. Passwords, which are hashes there, can
 * be read by a superuser only; a lesser role leaves them out, and the manifest says so.
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
  const tool = [
    join(context.pgBin, 'pg_dumpall'),
    '--globals-only',
    '--no-password',
    `--database=${databaseConninfo(connection.maintenanceDatabase)}`,
    ...(passwords ? [] : ['--no-role-passwords']),
  ];
  const options = {
    user: context.user,
    env: libpqEnv(connection, connection.maintenanceDatabase, versionNum),
    signal: context.signal,
  };
  try {
    if (context.storage.capabilities.localPath) {
      await runProgram(await writingArgv(context, encryption, key, tool), options);
    } else {
      // Small, and text also where it is encrypted: it needs no job of its own.
      const { stdout } = await runProgram(
        encryption === null ? tool : await encryptingArgv(encryption.recipients, tool),
        options,
      );
      await context.storage.write(key, `${stdout}\n`);
    }
  } catch (error) {
    await context.storage.remove(key);
    throw inTermsOfTool(LOGICAL_TOOLS, 'pg_dumpall', error);
  }
  return { ...(await fingerprint(context, key, 'roles and tablespaces')), passwords };
}
