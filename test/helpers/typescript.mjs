// Lets plain Node run the TypeScript of this repository, as jest does:
//   node --import ./test/helpers/typescript.mjs test/helpers/some-program.ts
import { register } from 'node:module';

register('./typescript-hooks.mjs', import.meta.url);
