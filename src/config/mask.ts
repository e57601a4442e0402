import { isSecretReference } from '../domain/fields.js';

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

/** A copy of a config's values that may be shown: references to secrets stay, what looks like a secret does not (F39). */
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
