import { createHash } from 'node:crypto';
import { mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type WorkflowBundleWithSourceMap, bundleWorkflowCode } from '@temporalio/worker';

const source = fileURLToPath(new URL('../../src/', import.meta.url));
const workflowsPath = join(source, 'workflows/index.ts');
const cache = fileURLToPath(new URL('../../node_modules/.cache/reprise-workflows/', import.meta.url));
const lockFile = fileURLToPath(new URL('../../package-lock.json', import.meta.url));
const quiet = { trace() {}, debug() {}, info() {}, warn() {}, error() {}, log() {} };

/** The workflows as a worker loads them. Bundling takes seconds: test files share what one of them has made of the same sources. */
export async function workflowBundle(): Promise<WorkflowBundleWithSourceMap> {
  const path = join(cache, `${await digest()}.js`);
  const made = await readFile(path, 'utf8').catch(() => undefined);
  if (made !== undefined) return { code: made, sourceMap: '' };
  const bundle = await bundleWorkflowCode({
    workflowsPath,
    workflowInterceptorModules: [join(source, 'workflows/interceptors.ts')],
    logger: quiet,
  });
  await mkdir(cache, { recursive: true });
  const others = (await readdir(cache)).filter((name) => name.endsWith('.js'));
  await Promise.all(others.map((name) => rm(join(cache, name), { force: true })));
  // Two files may bundle at once: each puts down a whole one.
  await writeFile(`${path}.${process.pid}`, bundle.code);
  await rename(`${path}.${process.pid}`, path);
  return bundle;
}

/** Of everything that is bundled: workflows import themselves, the domain and the SDK. */
async function digest(): Promise<string> {
  const folders = ['workflows', 'domain'];
  const names = await Promise.all(
    folders.map(async (folder) =>
      (await readdir(join(source, folder), { recursive: true })).map((name) => join(source, folder, name)),
    ),
  );
  const hash = createHash('sha256');
  for (const path of [
    ...names
      .flat()
      .filter((name) => name.endsWith('.ts'))
      .sort(),
    lockFile,
  ])
    hash.update(path).update(await readFile(path));
  return hash.digest('hex').slice(0, 32);
}
