import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { WorkerOptions } from '@temporalio/worker';
import { pathExists } from '../files/paths.js';
import { buildIdOf } from '../domain/operation/builds.js';

export interface WorkflowSource {
  readonly options: Pick<WorkerOptions, 'workflowBundle' | 'workflowsPath' | 'interceptors'>;
  /** Null where the workflows are bundled at start: then nothing names what they are made of. */
  readonly buildId: string | null;
}

/** The prebuilt bundle where there is one (production), else the workflows' folder, bundled at start. */
export async function workflowSource(version: string): Promise<WorkflowSource> {
  const codePath = pathOf('../workflow-bundle.js');
  if (await pathExists(codePath)) {
    const digest = createHash('sha256')
      .update(await readFile(codePath))
      .digest('hex');
    return { options: { workflowBundle: { codePath } }, buildId: buildIdOf(version, digest) };
  }
  return {
    options: {
      workflowsPath: pathOf('../workflows/index.js'),
      interceptors: { workflowModules: [pathOf('../workflows/interceptors.js')] },
    },
    buildId: null,
  };
}

/** Version of the package that this program is. */
export async function packageVersion(): Promise<string> {
  const { version } = JSON.parse(await readFile(pathOf('../../package.json'), 'utf8')) as { version: string };
  return version;
}

const pathOf = (file: string): string => fileURLToPath(new URL(file, import.meta.url));
