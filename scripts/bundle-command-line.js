// Makes a few files of the hundreds of modules that the command line and a worker load: finding them took most of their start.
import { readdirSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const dist = fileURLToPath(new URL('../dist', import.meta.url));

for (const name of readdirSync(dist)) if (name.endsWith('.bundle.js')) rmSync(`${dist}/${name}`);
// What only some commands start, and a worker too, is loaded from its own files: so nothing of it is there twice.
await bundle('command-line', /^(?:worker|embedded|demo|doctor|engines|storage|checks|notifiers)\//, []);
// Temporal's packages find files beside their own, and their classes are compared: a worker has each of them once.
await bundle('worker-line', /^(?:embedded|demo|doctor)\//, ['@temporalio/*', '@aws-sdk/*', '@smithy/*']);

/** @param ownFiles which modules that are imported by a call stay files of their own */
async function bundle(name, ownFiles, external) {
  await build({
    entryPoints: { [name]: `${dist}/command-line.js` },
    outdir: dist,
    entryNames: '[name].bundle',
    // Beside the modules: files are found from `import.meta.url` there.
    chunkNames: `${name}-[hash].bundle`,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node22.12',
    external,
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
    plugins: [
      { name: 'loaded-later', setup: (plugin) => leaveOut(plugin, ownFiles) },
      { name: 'places', setup: keepPlaces },
    ],
    logLevel: 'warning',
  });
}

/** Packages too: a CommonJS one that is imported by a call has no names in a bundle, and few commands need them. */
function leaveOut({ onResolve }, ownFiles) {
  onResolve({ filter: /./ }, ({ kind, resolveDir, path }) => {
    if (kind !== 'dynamic-import') return undefined;
    if (!path.startsWith('.')) return { path, external: true };
    const file = relative(dist, resolve(resolveDir, path));
    return ownFiles.test(file) ? { path: `./${file}`, external: true } : undefined;
  });
}

/** A module of ours that finds a file from its own place finds the same one from the bundle's. */
function keepPlaces({ onLoad }) {
  onLoad({ filter: /\/dist\/.*\.js$/ }, async ({ path }) => {
    if (!path.startsWith(`${dist}/`)) return undefined;
    const text = await readFile(path, 'utf8');
    const place = `new URL(${JSON.stringify(`./${relative(dist, path)}`)}, import.meta.url).href`;
    return { contents: text.replaceAll('import.meta.url', place), loader: 'js' };
  });
}
