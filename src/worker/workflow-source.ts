import { access } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

/** The prebuilt bundle where there is one (production), else the workflows' folder, bundled at start. */
export async function workflowSource(): Promise<{ workflowBundle: { codePath: string } } | { workflowsPath: string }> {
  const codePath = fileURLToPath(new URL('../workflow-bundle.js', import.meta.url));
  const prebuilt = await access(codePath).then(
    () => true,
    () => false,
  );
  return prebuilt
    ? { workflowBundle: { codePath } }
    : { workflowsPath: fileURLToPath(new URL('../workflows/index.js', import.meta.url)) };
}
