import { RepriseError } from '../domain/errors.js';

/** S3 allows 1024 bytes in a key, Linux 255 in one component: a key that one storage refuses no storage takes. */
const maxKeyBytes = 1024;
const maxComponentBytes = 255;

/** Names that begin so are being written; no list shows them. */
export const incompletePrefix = '.reprise-tmp-';

/**
 * Components of a key, checked to stay below the root on every system: no `..`, no empty or `.`
 * component, not absolute, no backslash (a separator elsewhere), no control character.
 *
 * @throws RepriseError `path-refused`
 */
export function keyComponents(key: string): string[] {
  const problem = keyProblem(key);
  if (problem !== null) throw refused(key, problem);
  return key.split('/');
}

/** Whether a key can name something in any repository. */
export function isKey(key: string): boolean {
  return keyProblem(key) === null;
}

/** Components of a folder's name, with or without the slash at its end; none for the root (`''`). */
export function prefixComponents(prefix: string): string[] {
  const folder = prefix.endsWith('/') ? prefix.slice(0, -1) : prefix;
  if (folder === '' && prefix !== '/') return [];
  return keyComponents(folder);
}

/** Byte order of UTF-8, in which storages list; that of JavaScript's strings is another one beyond U+FFFF. */
export function compareKeys(left: string, right: string): number {
  return left === right ? 0 : Buffer.compare(Buffer.from(left), Buffer.from(right));
}

function keyProblem(key: string): string | null {
  if (key === '') return 'it is empty';
  if (key.startsWith('/')) return 'it is absolute';
  if (key.includes('\\')) return 'it holds a backslash';
  // S3 cannot return them in XML, and they forge lines in a log.
  if ([...key].some((character) => isControl(character.codePointAt(0) ?? 0))) return 'it holds a control character';
  if (/\p{Cs}/u.test(key)) return 'it is not well-formed Unicode';
  if (Buffer.byteLength(key) > maxKeyBytes) return `it is longer than ${maxKeyBytes} bytes`;
  for (const component of key.split('/')) {
    if (component === '') return 'it holds an empty component';
    if (component === '.' || component === '..') return `it holds the component ${component}`;
    if (component.startsWith(incompletePrefix)) return 'it has the name of an incomplete file';
    if (Buffer.byteLength(component) > maxComponentBytes)
      return `a component is longer than ${maxComponentBytes} bytes`;
  }
  return null;
}

function isControl(code: number): boolean {
  return code < 0x20 || code === 0x7f;
}

function refused(key: string, problem: string): RepriseError {
  return new RepriseError(
    'path-refused',
    `the key ${JSON.stringify(key.slice(0, 200))} cannot name anything in a repository: ${problem}`,
    'name it relative to the root of the repository, with / between its parts',
  );
}
