// Makes a few files of the hundreds of modules that the command line loads: finding them took most of its start.
import { readdirSync, rmSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const dist = fileURLToPath(new URL('../dist', import.meta.url));

/** What only some commands start, and a worker too, is loaded from its own files: so nothing of it is there twice. */
const ownFiles = /^(?:worker|embedded|demo|doctor|engines|storage|checks|notifiers)\//;

for (const name of readdirSync(dist)) if (name.endsWith('.bundle.js')) rmSync(`${dist}/${name}`);
await build({
  entryPoints: [`${dist}/command-line.js`],
  outdir: dist,
  entryNames: '[name].bundle',
  // Beside the modules: files are found from `import.meta.url` there.
  chunkNames: 'command-line-[hash].bundle',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node22.12',
  banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
  plugins: [{ name: 'loaded-later', setup: leaveOut }],
  logLevel: 'warning',
});

/** Packages too: a CommonJS one that is imported by a call has no names in a bundle, and few commands need them. */
function leaveOut({ onResolve }) {
  onResolve({ filter: /./ }, ({ kind, resolveDir, path }) => {
    if (kind !== 'dynamic-import') return undefined;
    if (!path.startsWith('.')) return { path, external: true };
    const file = relative(dist, resolve(resolveDir, path));
    return ownFiles.test(file) ? { path: `./${file}`, external: true } : undefined;
  });
}
