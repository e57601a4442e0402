/** Shapes of JSON documents as text: what a reader relies on, without what differs from run to run. */

export interface ShapeOptions {
  /** Paths whose keys are data (names of clusters, digests) and not fields: their keys are shown as `*`. */
  readonly maps?: readonly string[];
  /** Fields, by their last name, whose texts are words that others rely on: shown as they are. */
  readonly words?: readonly string[];
}

interface Seen {
  readonly types: Set<string>;
  count: number;
  /** How often its parent was there: a field that is missing in one of them is optional. */
  readonly parent: string | null;
}

/** The sorted lines `path: type` of documents of one sort; array elements are merged, and `?` marks what some lack. */
export function shapeOf(documents: readonly unknown[], { maps = [], words = [] }: ShapeOptions = {}): string[] {
  const seen = new Map<string, Seen>();
  const note = (path: string, type: string, parent: string | null): void => {
    const known = seen.get(path) ?? { types: new Set<string>(), count: 0, parent };
    known.types.add(type);
    known.count += 1;
    seen.set(path, known);
  };
  const walk = (value: unknown, path: string, parent: string | null): void => {
    const isWord = typeof value === 'string' && words.includes(path.slice(path.lastIndexOf('.') + 1));
    note(path, isWord ? JSON.stringify(value) : typeName(value, path), parent);
    if (Array.isArray(value)) for (const element of value) walk(element, `${path}[]`, null);
    else if (typeof value === 'object' && value !== null) {
      note(`${path}{}`, 'count', null);
      const isMap = maps.includes(path);
      for (const [key, inner] of Object.entries(value)) {
        walk(inner, path === '' ? key : `${path}.${isMap ? '*' : key}`, isMap ? null : path);
      }
    }
  };
  for (const document of documents) walk(document, '', null);
  return [...seen]
    .filter(([path]) => path !== '' && !path.endsWith('{}'))
    .map(([path, { types, count, parent }]) => {
      const parents = parent === null ? count : (seen.get(`${parent}{}`)?.count ?? count);
      return `${path}${count < parents ? '?' : ''}: ${[...types].toSorted().join(' | ')}`;
    })
    .toSorted();
}

/** One section of a golden file: a headline and its lines below it. */
export function section(headline: string, lines: readonly string[]): string {
  return `${headline}\n${lines.map((line) => `  ${line}`.trimEnd()).join('\n')}\n`;
}

function typeName(value: unknown, path: string): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return value.length === 0 ? 'array (empty)' : 'array';
  if (typeof value === 'object') return Object.keys(value).length === 0 ? 'object (empty)' : 'object';
  // Versions of a form are part of it.
  if (path === 'schemaVersion' || path === 'version')
    return `${typeof value} ${typeof value === 'number' ? String(value) : ''}`.trimEnd();
  return typeof value;
}
