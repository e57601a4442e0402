import pg from 'pg';
import { sqlState } from '../connection/database-errors.js';

/** One setting of a database, for all roles or for one. */
export interface DatabaseSetting {
  readonly role: string | null;
  readonly name: string;
  /** As stored: settings that are lists hold quoted identifiers between commas. */
  readonly value: string;
}

/** Lists of names, whose elements are quoted one by one (`GUC_LIST_QUOTE` in PostgreSQL's sources). */
const LISTS = new Set([
  'search_path',
  'temp_tablespaces',
  'session_preload_libraries',
  'local_preload_libraries',
  'shared_preload_libraries',
  'unix_socket_directories',
]);
const UNDEFINED_OBJECT = '42704';

/** The statement that gives a database a setting. As one literal, a list would become a single strange name. */
export function settingStatement(database: string, { role, name, value }: DatabaseSetting): string {
  const place = pg.escapeIdentifier(database);
  const target = role === null ? `DATABASE ${place}` : `ROLE ${pg.escapeIdentifier(role)} IN DATABASE ${place}`;
  const elements = LISTS.has(name.toLowerCase()) ? splitList(value) : [value];
  const literals = elements.length === 0 ? [''] : elements;
  return `ALTER ${target} SET ${name
    .split('.')
    .map((part) => pg.escapeIdentifier(part))
    .join('.')} TO ${literals.map((element) => pg.escapeLiteral(element)).join(', ')}`;
}

/** One element and its comma. What follows a quote that is never closed belongs to it: the text is a role's own choice. */
const ELEMENT = /\s*(?:"((?:[^"]|"")*)(?:"[^,]*|$)|([^,]*))(?:,|$)/y;

/** Elements of a stored list: separated by commas, in double quotes where the name needs them. */
export function splitList(stored: string): string[] {
  const elements: string[] = [];
  ELEMENT.lastIndex = 0;
  while (ELEMENT.lastIndex < stored.length) {
    const [, quoted, plain = ''] = ELEMENT.exec(stored) ?? [];
    elements.push(quoted === undefined ? plain.trim() : quoted.replaceAll('""', '"'));
  }
  return elements;
}

/** Whether a statement failed because a role it names is not on this server. */
export function isMissingRole(error: unknown): boolean {
  return sqlState(error) === UNDEFINED_OBJECT && error instanceof Error && /\brole\b/i.test(error.message);
}
