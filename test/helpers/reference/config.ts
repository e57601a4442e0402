import { z } from 'zod';
import { configSchema } from '../../../src/config/schema/schema.js';

interface Node {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly pattern?: string;
  readonly not?: unknown;
  readonly properties?: Readonly<Record<string, Node>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: Node | boolean;
  readonly items?: Node;
  readonly anyOf?: readonly Node[];
  readonly oneOf?: readonly Node[];
}

/** JSON Schema of `reprise.yml`, for editors; references between names are checked by `reprise config check` alone. */
export function configJsonSchema(): Node {
  const none = { hosts: [], repositories: [], clusters: [], contacts: [], notifiers: {} };
  return z.toJSONSchema(configSchema(none), { io: 'input', unrepresentable: 'any', reused: 'inline' }) as Node;
}

/** `docs/reference/config.md`, from the schema that the configuration is parsed with. */
export function configReference(): string {
  const root = configJsonSchema();
  const lines = [
    '# reprise.yml',
    '',
    'Made from the code (`npm run docs`). Keys in snake_case; durations `90s 5m 4h 7d`, sizes `500MB 2GiB`, relative paths from the',
    "file's own folder. An unknown key is refused with its line and column. `NAME` stands for a name of your own.",
    '`reprise config show --origin` prints what is in force and where it comes from.',
  ];
  for (const [key, node] of Object.entries(root.properties ?? {})) {
    if (isLater(node)) continue;
    lines.push(
      '',
      `## ${key}`,
      '',
      ...(node.description ? [node.description, ''] : []),
      '| key | takes | default | |',
      '|---|---|---|---|',
    );
    lines.push(...rows(key, node, (root.required ?? []).includes(key)));
  }
  return `${lines.join('\n')}\n`;
}

function rows(path: string, node: Node, required: boolean): string[] {
  if (isLater(node)) return [];
  const variants = node.oneOf ?? node.anyOf;
  const objects = variants?.filter((variant) => variant.properties !== undefined) ?? [];
  if (objects.length > 0)
    return [
      row(path, node, required),
      ...objects.flatMap((variant) => properties(`${path}${tagOf(variant)}`, variant)),
    ];
  if (node.properties !== undefined)
    return [...(path.includes('.') ? [row(path, node, required)] : []), ...properties(path, node)];
  if (typeof node.additionalProperties === 'object')
    return rows(`${path}.NAME`, node.additionalProperties, false).filter(
      (line, place) => place > 0 || !isEmptyRow(line, path),
    );
  return [row(path, node, required)];
}

function properties(path: string, node: Node): string[] {
  return Object.entries(node.properties ?? {})
    .filter(([, child]) => child.const === undefined)
    .flatMap(([key, child]) => rows(`${path}.${key}`, child, (node.required ?? []).includes(key)));
}

/** ` {kind: pg_ctl}`: which of several forms a row belongs to. */
function tagOf(variant: Node): string {
  const tags = Object.entries(variant.properties ?? {}).flatMap(([key, child]) =>
    child.const === undefined ? [] : [`${key}: ${String(child.const)}`],
  );
  return tags.length > 0 ? ` {${tags.join(', ')}}` : '';
}

function isEmptyRow(line: string, path: string): boolean {
  return line === row(`${path}.NAME`, { type: 'object' }, false);
}

/** A key of a later version, or one that is refused for ever. */
function isLater(node: Node): boolean {
  return node.not !== undefined;
}

function row(path: string, node: Node, required: boolean): string {
  const standard = node.default === undefined || isEmpty(node.default) ? '' : `\`${JSON.stringify(node.default)}\``;
  return `| \`${path}\` | ${takes(node)}${required ? ', required' : ''} | ${standard} | ${(node.description ?? '').replaceAll('|', '\\|')} |`;
}

function takes(node: Node): string {
  if (node.const !== undefined) return `\`${String(node.const)}\``;
  if (node.enum) return node.enum.map((value) => `\`${String(value)}\``).join(' ');
  if (node.type === 'array') return `list of ${node.items ? takes(node.items) : 'values'}`;
  const variants = node.oneOf ?? node.anyOf;
  if (variants)
    return [
      ...new Set(
        variants.filter((variant) => !isLater(variant)).map((variant) => tagOf(variant).trim() || takes(variant)),
      ),
    ]
      .join(' or ')
      .replaceAll('|', '\\|');
  if (node.properties !== undefined || node.type === 'object') return 'mapping';
  if (node.type === 'integer') return 'whole number';
  return node.type === 'string' && /smhd/.test(node.pattern ?? '')
    ? 'duration'
    : node.type === 'string'
      ? 'text'
      : (node.type ?? 'any');
}

function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}
