import { createRequire } from 'node:module';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { expect, it } from '@jest/globals';
import type * as Ts from 'typescript';
import { golden } from '../../helpers/golden.js';
import { section } from '../../helpers/shape.js';

// A CommonJS module: jest's loader of ES modules does not know its names.
const ts = createRequire(import.meta.url)('typescript') as typeof Ts;
const api = fileURLToPath(new URL('../../../src/activities/api.ts', import.meta.url));
const file = new URL('activity-inputs.golden.txt', import.meta.url);

/** `activity.field` of each input, with `?` where it may be absent. */
function inputFields(): readonly string[] {
  const program = ts.createProgram([api], {
    strict: true,
    skipLibCheck: true,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    target: ts.ScriptTarget.ES2023,
  });
  const checker = program.getTypeChecker();
  const source = program.getSourceFile(api);
  const lines: string[] = [];
  ts.forEachChild(source as Ts.SourceFile, (node) => {
    if (!ts.isInterfaceDeclaration(node) || !/^(Control|Host)Activities$/.test(node.name.text)) return;
    for (const method of checker.getTypeAtLocation(node).getProperties()) {
      const [signature] = checker.getTypeOfSymbolAtLocation(method, node).getCallSignatures();
      const [parameter] = signature?.getParameters() ?? [];
      if (!parameter) continue;
      // A member of a union is one shape of the input; each has its fields.
      const type = checker.getTypeOfSymbolAtLocation(parameter, node);
      for (const shape of type.isUnion() ? type.types : [type])
        for (const field of shape.getProperties()) {
          const isOptional = (field.flags & ts.SymbolFlags.Optional) !== 0;
          lines.push(`${method.name}.${field.name}${isOptional ? '?' : ''}`);
        }
    }
  });
  return [...new Set(lines)].toSorted();
}

it('L14: inputs of activities only grow, by fields that may be absent: hosts of two versions serve one workflow', async () => {
  const made = inputFields();
  // A worker of the version before sends no new field, and one of the next version all that it sent before.
  await golden(file, section('activity.field of its input; ? where it may be absent', made));
  const kept = (await readFile(file, 'utf8'))
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => /^\w+\.\w+\??$/.test(line));
  expect(kept.length).toBeGreaterThan(100);
  const activities = new Set(kept.map((line) => line.split('.')[0]));
  const missing = kept.filter((line) => !made.includes(line) && !made.includes(`${line}?`));
  const required = made.filter(
    (line) => !line.endsWith('?') && !kept.includes(line) && activities.has(line.split('.')[0]),
  );
  expect({ missing, required }).toEqual({ missing: [], required: [] });
  // What was added stands in the file too, for the next change.
  expect(made.filter((line) => !kept.includes(line))).toEqual([]);
});
