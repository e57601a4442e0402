// Bundles the workflows once, at build time: a production worker then starts at once and needs no bundler.
import { Buffer } from 'node:buffer';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode } from '@temporalio/worker';

const silent = { log() {}, trace() {}, debug() {}, info() {}, warn: console.error, error: console.error };

const { code } = await bundleWorkflowCode({
  workflowsPath: fileURLToPath(new URL('../dist/workflows/index.js', import.meta.url)),
  workflowInterceptorModules: [fileURLToPath(new URL('../dist/workflows/interceptors.js', import.meta.url))],
  logger: silent,
});
writeFileSync('dist/workflow-bundle.js', withoutPlaces(code));

/**
 * The bundle ends in its source map, which the SDK asks for. What it says of the machine that built it, and the sources
 * themselves, are left out: the package is shipped, and the worker keeps the map in memory.
 */
function withoutPlaces(bundle) {
  const root = fileURLToPath(new URL('..', import.meta.url));
  return bundle.replace(/(\/\/# sourceMappingURL=data:[^,]*;base64,)(\S+)/, (_whole, head, encoded) => {
    const map = JSON.parse(Buffer.from(encoded, 'base64').toString());
    delete map.sourcesContent;
    map.sources = map.sources.map((source) => source.replaceAll(root, ''));
    return head + Buffer.from(JSON.stringify(map)).toString('base64');
  });
}
