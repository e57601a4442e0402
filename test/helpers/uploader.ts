import { fileURLToPath } from 'node:url';

const at = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

/** The uploader from its source, as `dist/worker/uploader.js` is in the product. */
export const uploaderArgv: readonly string[] = [
  process.execPath,
  '--no-warnings',
  '--import',
  at('test/helpers/typescript.mjs'),
  at('src/worker/uploader.ts'),
];
