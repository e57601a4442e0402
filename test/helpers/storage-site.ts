import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import type { ActivityRun } from '../../src/activities/activity-wrapper.js';
import { applyStorage } from '../../src/activities/inspection/storage.js';
import { createHostActivities } from '../../src/activities/index.js';
import { loadConfig } from '../../src/config/load.js';
import type { InspectionResults, Inspection, InspectionKind } from '../../src/domain/operation/inspections.js';
import { hostDependencies } from '../../src/worker/dependencies.js';
import { onCleanup } from './cleanup.js';
import { reprise } from './cli.js';
import type { CliResult } from './cli.js';
import { openNamespace } from './site-session.js';
import { SiteWorker } from './site-worker.js';
import { tempDir } from './temp.js';

export interface StorageSite {
  readonly root: string;
  readonly configFile: string;
  /** As the worker's activity answers it, within this process. */
  answer<K extends InspectionKind>(question: Extract<Inspection, { kind: K }>): Promise<InspectionResults[K]>;
  /** What the step of an approved plan does, within this process. */
  apply(repository: string, plan: string): ReturnType<typeof applyStorage>;
  /** The command line against a worker process of its own, started with the first command. */
  cli(...argv: readonly string[]): Promise<CliResult>;
}

export interface StorageSiteOptions {
  /** Entries under `repositories`, two blanks in. */
  readonly repositories: string;
  /** Further keys of the cluster, four blanks in. */
  readonly cluster?: string;
  readonly catalogue: string;
}

/** A reprise.yml for questions about repositories: its cluster `mairie` has no server, and needs none. */
export async function storageSite({ repositories, cluster = '', catalogue }: StorageSiteOptions): Promise<StorageSite> {
  const root = await tempDir('storage-site');
  await mkdir(join(root, 'state'), { mode: 0o700 });
  const configFile = join(root, 'reprise.yml');
  const text = `version: 1
hosts:
  db1: { state_dir: ${join(root, 'state')} }
repositories:
${repositories}
clusters:
  mairie:
    host: db1
    connection: { host: 127.0.0.1, port: 1, user: postgres }
    databases: [mairie]
    catalogue: ${catalogue}
${cluster}`;
  await writeFile(configFile, text, { mode: 0o600 });
  let worker: Promise<(...argv: readonly string[]) => Promise<CliResult>> | undefined;
  return {
    root,
    configFile,
    async answer(question) {
      const config = await loadConfig({ file: configFile, env: {} });
      const { answer } = createHostActivities(hostDependencies(config, 'db1'));
      return new MockActivityEnvironment({}, { logger: new DefaultLogger('ERROR') }).run(answer, {
        question,
        host: 'db1',
      }) as never;
    },
    async apply(repository, plan) {
      const deps = hostDependencies(await loadConfig({ file: configFile, env: {} }), 'db1');
      const run = { signal: new AbortController().signal, report: () => undefined } as unknown as ActivityRun;
      return applyStorage(deps, repository, { plan, by: 'dba' }, run);
    },
    async cli(...argv) {
      worker ??= startWorker(root, configFile);
      return (await worker)(...argv);
    },
  };
}

async function startWorker(
  root: string,
  configFile: string,
): Promise<(...argv: readonly string[]) => Promise<CliResult>> {
  const address = process.env['REPRISE_TEST_TEMPORAL_ADDRESS'];
  if (address === undefined) throw new Error('this test runs among those with servers');
  const namespace = root.slice(root.lastIndexOf('/') + 1);
  const session = await openNamespace(address, namespace);
  onCleanup(() => session.close());
  const worker = SiteWorker.start({ configFile, logFile: join(root, 'worker.log'), session }, {});
  onCleanup(() => worker.kill());
  await worker.polls();
  return (...argv) => reprise(['--config', configFile, '--address', address, '--namespace', namespace, ...argv]);
}
