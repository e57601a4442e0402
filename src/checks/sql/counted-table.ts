const name = String.raw`(?:"((?:[^"]|"")+)"|([A-Za-z_][\w$]*))`;
const pattern = new RegExp(
  String.raw`^\s*SELECT\s+count\s*\(\s*\*\s*\)\s+FROM\s+(?:ONLY\s+)?${name}(?:\s*\.\s*${name})?\s*;?\s*$`,
  'i',
);

/**
 * The table whose rows a query counts, where it does nothing else: only then is its number the one that was recorded.
 * A name without schema means `public`.
 */
export function countedTable(query: string): { readonly schema: string; readonly table: string } | null {
  const match = pattern.exec(query);
  if (match === null) return null;
  const [first, second] = [identifier(match[1], match[2]), identifier(match[3], match[4])];
  if (first === null) return null;
  return second === null ? { schema: 'public', table: first } : { schema: first, table: second };
}

/** Quoted names as they are, others in lower case, as PostgreSQL reads them. */
function identifier(quoted: string | undefined, plain: string | undefined): string | null {
  return quoted?.replaceAll('""', '"') ?? plain?.toLowerCase() ?? null;
}
