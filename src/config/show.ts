import { isSecretReference } from '../domain/fields.js';
import { Document, isScalar, visit } from 'yaml';
import type { LoadedConfig } from './load.js';
import type { ConfigPath } from './problem.js';

/** A value that did not come from the file: a flag or an environment variable had the last word. */
export interface Override {
  readonly path: ConfigPath;
  readonly value: string | number | boolean;
  readonly origin: 'flag' | 'environment';
}

export interface ShowOptions {
  /** Says for each value where it comes from: `flag`, `environment`, `file:line` or `default`. */
  readonly origin?: boolean;
  readonly overrides?: readonly Override[];
}

/** The whole resolved configuration in the file's own words, masked, as plain values: for JSON. */
export function resolvedConfig({ text }: LoadedConfig, overrides: readonly Override[] = []): Record<string, unknown> {
  return masked(overridden(text, overrides).toJS()) as Record<string, unknown>;
}

/** Where each value comes from, by its dotted path, in the order of the configuration. */
export function configOrigins(loaded: LoadedConfig, overrides: readonly Override[] = []): Record<string, string> {
  const origins: Record<string, string> = {};
  walk(resolvedConfig(loaded, overrides), [], (path) => {
    origins[path.join('.')] = originOf(loaded, path, overrides);
  });
  return origins;
}

/** The whole resolved configuration as YAML, masked; with `origin`, each value has a comment that says where it comes from. */
export function showConfig(loaded: LoadedConfig, { origin = false, overrides = [] }: ShowOptions = {}): string {
  const document = new Document(resolvedConfig(loaded, overrides), { aliasDuplicateObjects: false });
  document.commentBefore = ` ${loaded.config.file} (${loaded.chosenBy})`;
  if (origin) {
    walk(document.toJS(), [], (path) => {
      const node = document.getIn(path, true);
      if (isScalar(node)) node.comment = ` ${originOf(loaded, path, overrides)}`;
    });
  }
  visit(document, { Scalar: (_, node) => void (node.value === '' && (node.type = 'QUOTE_DOUBLE')) });
  return document.toString({ lineWidth: 0 });
}

function overridden(text: unknown, overrides: readonly Override[]): Document {
  const document = new Document(text, { aliasDuplicateObjects: false });
  for (const { path, value } of overrides) document.setIn(path, value);
  return document;
}

function originOf({ source, label }: LoadedConfig, path: ConfigPath, overrides: readonly Override[]): string {
  const override = overrides.find((candidate) => candidate.path.join('.') === path.join('.'));
  if (override) return override.origin;
  // One value where a list may be is shown as a list of it.
  const line = source.lineOf(path) ?? (typeof path.at(-1) === 'number' ? source.lineOf(path.slice(0, -1)) : undefined);
  return line === undefined ? 'default' : `${label}:${line}`;
}

/** Visits every value that holds no others. */
function walk(value: unknown, path: ConfigPath, leaf: (path: ConfigPath) => void): void {
  if (typeof value !== 'object' || value === null) leaf(path);
  else
    for (const [key, below] of Object.entries(value))
      walk(below, [...path, Array.isArray(value) ? Number(key) : key], leaf);
}

const HIDDEN = '***';
const secretWord = '(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|access[_-]?key|credential)s?';
const secretKey = new RegExp(`(?:^|[_-])${secretWord}$`, 'i');

/** Secrets have no business in a config, but people paste command lines and addresses that hold them. */
const rules: readonly (readonly [RegExp, string])[] = [
  [/(\/\/[^\s/:@]*):[^\s/]*@/g, `$1:${HIDDEN}@`],
  [/(https:\/\/hooks\.slack\.com\/)\S+/g, `$1${HIDDEN}`],
  [new RegExp(`(${secretWord}\\s*[=:]\\s*)\\S+`, 'gi'), `$1${HIDDEN}`],
  [/((?:bearer|basic)\s+)\S+/gi, `$1${HIDDEN}`],
  [/AGE-SECRET-KEY-[\w-]+/gi, HIDDEN],
  [/\b[0-9a-f]{32}\b/gi, HIDDEN],
];
/** A flag whose value is the next argument. */
const secretFlag = new RegExp(`^--?[\\w-]*${secretWord}$`, 'i');

/** A copy of a config's values that may be shown: references to secrets stay, what looks like a secret does not. */
export function masked(value: unknown): unknown {
  if (typeof value === 'string') return rules.reduce((text, [pattern, shown]) => text.replace(pattern, shown), value);
  if (Array.isArray(value)) {
    const items = value as readonly unknown[];
    return items.map((item, index) => {
      const before = items[index - 1];
      return typeof before === 'string' && secretFlag.test(before) ? HIDDEN : masked(item);
    });
  }
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, below]) => [
      key,
      secretKey.test(key) && !isSecretReference(below) ? HIDDEN : masked(below),
    ]),
  );
}
