import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';

const root = join(import.meta.dirname, '../../..');

/** `file: name from module` for each import of the built program that the sources do not have. */
function missingImports(directory: string): string[] {
  return readdirSync(join(root, directory))
    .filter((name) => name.endsWith('.mjs'))
    .flatMap((name) => {
      const text = readFileSync(join(root, directory, name), 'utf8');
      return [...text.matchAll(/import \{([^}]*)\} from '\.\.\/dist\/([^']+)\.js'/g)].flatMap(
        ([, names = '', module = '']) =>
          names
            .split(',')
            .map((word) => word.trim().split(/\s+as\s+/)[0] ?? '')
            .filter((word) => word !== '' && !exports(module).has(word))
            .map((word) => `${directory}/${name}: ${word} from ${module}`),
      );
    });
}

function exports(module: string): Set<string> {
  const file = join(root, 'src', `${module}.ts`);
  if (!existsSync(file)) return new Set();
  const text = readFileSync(file, 'utf8');
  const declared = text.matchAll(/^export (?:async )?(?:function\*?|const|class) (\w+)/gm);
  const passedOn = [...text.matchAll(/^export \{([^}]*)\}/gm)].flatMap(([, names = '']) => names.split(','));
  return new Set([...[...declared].map(([, name = '']) => name), ...passedOn.map((name) => name.trim())]);
}

it('what the benchmarks and scripts import of the built program is there', () => {
  expect(['bench', 'scripts'].flatMap(missingImports)).toEqual([]);
});
