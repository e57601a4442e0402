import { fileURLToPath } from 'node:url';
import type { WorkerOptions } from '@temporalio/worker';
import { pathExists } from '../files/paths.js';

/** The prebuilt bundle where there is one (production), else the workflows' folder, bundled at start. */
export async function workflowSource(): Promise<
  Pick<WorkerOptions, 'workflowBundle' | 'workflowsPath' | 'interceptors'>
> {
  const pathOf = (file: string): string => fileURLToPath(new URL(file, import.meta.url));
  const codePath = pathOf('../workflow-bundle.js');
  if (await pathExists(codePath)) return { workflowBundle: { codePath } };
  return {
    workflowsPath: pathOf('../workflows/index.js'),
    interceptors: { workflowModules: [pathOf('../workflows/interceptors.js')] },
  };
}
