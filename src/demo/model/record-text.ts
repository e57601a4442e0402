import type { Row } from './row.js';

/**
 * A row as PostgreSQL prints it when a whole row is cast to text (manual, "Composite Type Input and Output Syntax"):
 * NULL is nothing at all, and a value is quoted where it is empty or holds a comma, parenthesis, quote, backslash or blank.
 */
export function recordText(row: Row): string {
  return `(${row.map(field).join(',')})`;
}

function field(value: string | null): string {
  if (value === null) return '';
  if (value !== '' && !/[\s,()"\\]/.test(value)) return value;
  return `"${value.replace(/["\\]/g, '$&$&')}"`;
}
