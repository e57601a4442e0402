import { fileURLToPath } from 'node:url';
import { pathExists } from '../files/paths.js';

/** The prebuilt bundle where there is one (production), else the workflows' folder, bundled at start. */
export async function workflowSource(): Promise<{ workflowBundle: { codePath: string } } | { workflowsPath: string }> {
  const codePath = fileURLToPath(new URL('../workflow-bundle.js', import.meta.url));
  return (await pathExists(codePath))
    ? { workflowBundle: { codePath } }
    : { workflowsPath: fileURLToPath(new URL('../workflows/index.js', import.meta.url)) };
}
