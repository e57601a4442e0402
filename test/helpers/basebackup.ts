import { chmod, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { basebackupEngine } from '../../src/engines/basebackup/basebackup-engine.js';
import type { EngineContext } from '../../src/engines/engine.js';
import type { WritableStorage } from '../../src/storage/storage.js';
import { makeGround, seedCluster } from '../contract/engine-fixture.js';
import type { Ground } from '../contract/engine-fixture.js';
import { runQuery, startScratchCluster } from './postgres.js';
import type { ScratchCluster, ScratchOptions } from './postgres.js';
import { tempDir } from './temp.js';

/** A throwaway cluster whose WAL goes into the repository of a policy with the engine `basebackup`. */
export interface BaseCluster {
  readonly cluster: ScratchCluster;
  readonly ground: Ground;
  /** Options of the policy, which a test may change between two operations. */
  readonly options: Record<string, unknown>;
  /** Folder of the policy's files, and the WAL's below it. */
  readonly directory: string;
  readonly walDirectory: string;
  /** While it is there archiving fails. */
  readonly failFile: string;
  context(operationId: string, changed?: Partial<EngineContext>): Promise<EngineContext>;
}

/**
 * Half of a test's CPU went into compressing, fetching and reading segments of 16 MB that are nearly empty. WAL-G's tests and the
 * demo keep PostgreSQL's default.
 */
const withSmallSegments = (settings: ScratchOptions): ScratchOptions => ({
  ...settings,
  initdb: ['--wal-segsize=1', ...(settings.initdb ?? [])],
});

export async function startBaseCluster(
  settings: ScratchOptions = {},
  databases: readonly string[] = ['mairie'],
): Promise<BaseCluster> {
  const cluster = await startScratchCluster({ ...withSmallSegments(settings), archive: 'false' });
  const options: Record<string, unknown> = { wal: 'archive_command', compress: 1, archiveTimeoutSeconds: 240 };
  const ground = await makeGround(cluster, 'basebackup', options, { databases });
  const root = await tempDir('basebackup');
  const [failFile, script] = [join(root, 'fail'), join(root, 'archive')];
  const command = basebackupEngine.physical?.archiveCommand(await ground.context('archive')) ?? '';
  // As PostgreSQL would run it, but for a switch to make it fail.
  const filled = command.replaceAll('%p', '$1').replaceAll('%f', '"$2"').replaceAll('%%', '%');
  await writeFile(script, `#!/bin/sh\n[ ! -e '${failFile}' ] || exit 1\n${filled}\n`);
  await chmod(script, 0o755);
  await runQuery(cluster, 'postgres', `ALTER SYSTEM SET archive_command = '${script} %p %f'`);
  await runQuery(cluster, 'postgres', 'SELECT pg_reload_conf()');
  await seedCluster(cluster, databases);
  const directory = join(ground.repositoryPath, 'mairie', 'nightly');
  return {
    cluster,
    ground,
    options,
    directory,
    walDirectory: join(directory, 'wal'),
    failFile,
    context: ground.context,
  };
}

/** The same where a worker receives the WAL: the server archives nothing by itself. Start the receiver with `startReceiver`. */
export async function startReceivedCluster(
  settings: ScratchOptions = {},
  databases: readonly string[] = ['mairie'],
  storageFrom = (storage: WritableStorage): WritableStorage => storage,
): Promise<BaseCluster> {
  const cluster = await startScratchCluster(withSmallSegments(settings));
  const options: Record<string, unknown> = { wal: 'receivewal', compress: 1, archiveTimeoutSeconds: 240 };
  const ground = await makeGround(cluster, 'basebackup', options, { databases });
  await seedCluster(cluster, databases);
  const directory = join(ground.repositoryPath, 'mairie', 'nightly');
  const storage = storageFrom(ground.storage);
  const context: BaseCluster['context'] = (operationId, changed = {}) =>
    ground.context(operationId, { storage, ...changed });
  return { cluster, ground, options, directory, walDirectory: join(directory, 'wal'), failFile: '', context };
}

export async function letArchive({ failFile }: BaseCluster): Promise<void> {
  await rm(failFile, { force: true });
}
