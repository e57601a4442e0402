import { fileURLToPath } from 'node:url';

const at = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

const fromSource = (path: string): readonly string[] => [
  process.execPath,
  '--no-warnings',
  '--import',
  at('test/helpers/typescript.mjs'),
  at(path),
];

/** The uploader from its source, as `dist/worker/uploader.js` is in the product. */
export const uploaderArgv = fromSource('src/worker/uploader.ts');
/** The same of the counter of rows. */
export const rowCounterArgv = fromSource('src/worker/row-counter.ts');
