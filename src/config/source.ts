import {
  isAlias,
  isCollection,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  visit,
} from 'yaml';
import type { Document } from 'yaml';
import type { ConfigPath, PlacedProblem, Problem } from './problem.js';

/** A parsed YAML text that knows where each value is. */
export interface Source {
  /** The values as plain objects; undefined where the text could not be read as YAML. */
  readonly value: unknown;
  /** What is wrong with the text as YAML: syntax, duplicate keys, unknown tags. */
  readonly problems: readonly PlacedProblem[];
  place(problem: Problem): PlacedProblem;
  /** Line (from 1) where the value of a path is written, or undefined where it is not. */
  lineOf(path: ConfigPath): number | undefined;
}

/** Parses the text once: YAML 1.2, one document, without code frames in its errors, which could show a secret. */
export function parseSource(text: string): Source {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, strict: true });
  const at = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const problems = [
    ...[...document.errors, ...document.warnings].map((error) => ({
      path: [],
      ...at(error.pos[0]),
      ...yamlMessage(error.code, error.message, text.slice(error.pos[0])),
    })),
    ...dangerousKeys(document).map((offset) => ({
      path: [],
      ...at(offset),
      message: 'the key "__proto__" may not be used',
    })),
  ];
  const value = problems.length === 0 ? toPlain(document, problems) : undefined;
  return {
    value,
    problems,
    place: (problem) => ({ ...problem, ...at(offsetOf(document, problem)) }),
    lineOf: (path) => {
      const found = find(document, path);
      return found.depth === path.length && found.value?.range ? at(found.value.range[0]).line : undefined;
    },
  };
}

function toPlain(document: Document.Parsed, problems: PlacedProblem[]): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch {
    problems.push({
      path: [],
      line: 1,
      column: 1,
      message: 'the aliases of this file refer to each other in a circle, or are too many',
    });
    return undefined;
  }
}

function yamlMessage(code: string, message: string, rest: string): Pick<Problem, 'message' | 'hint'> {
  if (code === 'DUPLICATE_KEY') {
    const [key] = /^[^\s:,{}]+/.exec(rest) ?? [''];
    return { message: `the key ${key} appears here twice`, hint: 'keep one of them' };
  }
  return { message: `not valid YAML: ${message.charAt(0).toLowerCase()}${message.slice(1)}` };
}

/** Keys that plain objects would swallow without a word. */
function dangerousKeys(document: Document.Parsed): number[] {
  const offsets: number[] = [];
  visit(document, {
    Pair: (_, pair) => {
      if (isScalar(pair.key) && pair.key.value === '__proto__') offsets.push(pair.key.range?.[0] ?? 0);
    },
  });
  return offsets;
}

interface Found {
  /** How many steps of the path exist in the text. */
  readonly depth: number;
  readonly key?: Node;
  readonly value?: Node;
}

/** Follows the path as far as the text goes; what is missing is placed at what it is missing from. */
function find(document: Document.Parsed, path: ConfigPath): Found {
  let found: Found = { depth: 0, ...(document.contents ? { value: document.contents } : {}) };
  for (const step of path) {
    const below = childOf(document, found.value, step);
    if (!below) break;
    found = { ...below, depth: found.depth + 1 };
  }
  return found;
}

function childOf(
  document: Document.Parsed,
  parent: Node | undefined,
  step: string | number,
): Omit<Found, 'depth'> | undefined {
  const node = isAlias(parent) ? parent.resolve(document) : parent;
  if (isSeq(node)) {
    const item = node.items[Number(step)] as Node | undefined;
    return item && { value: item };
  }
  if (!isMap(node)) return undefined;
  const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(step)) as
    Pair<Node, Node | null> | undefined;
  return pair && { key: pair.key, ...(pair.value ? { value: pair.value } : {}) };
}

/** A scalar is shown itself; a mapping or a list by its key, because it begins on another line. */
function offsetOf(document: Document.Parsed, { path, atKey }: Problem): number {
  const { depth, key, value } = find(document, path);
  const itself = depth === path.length && atKey !== true && !isCollection(value);
  const node = itself ? (value ?? key) : (key ?? value);
  return node?.range?.[0] ?? 0;
}
