import { RepriseError } from '../../../domain/errors.js';

/** A statement of `pg_dumpall --globals-only`, told by what it concerns; names unquoted. */
export type GlobalStatement =
  | { readonly kind: 'create-role' | 'alter-role' | 'comment-role'; readonly role: string; readonly sql: string }
  | { readonly kind: 'label-role'; readonly provider: string; readonly role: string; readonly sql: string }
  | { readonly kind: 'grant-role'; readonly granted: string; readonly member: string; readonly sql: string }
  | { readonly kind: 'grant-parameter'; readonly role: string; readonly sql: string }
  | { readonly kind: 'create-tablespace'; readonly tablespace: string; readonly location: string; readonly sql: string }
  | { readonly kind: 'alter-tablespace'; readonly tablespace: string; readonly sql: string }
  | { readonly kind: 'setting' | 'other'; readonly sql: string };

const name = String.raw`("(?:[^"]|"")*"|[A-Za-z_][A-Za-z0-9_$]*)`;
/** As libpq writes them: backslashes are doubled, and only in literals that begin with E, whatever the server's settings. */
const literal = String.raw`(?:'(?:[^'\\]|'')*'|E'(?:[^'\\]|''|\\\\)*')`;
const attribute = String.raw`(?:(?:NO)?(?:SUPERUSER|INHERIT|CREATEROLE|CREATEDB|LOGIN|REPLICATION|BYPASSRLS)|CONNECTION LIMIT -?\d+|PASSWORD ${literal}|VALID UNTIL ${literal})`;
const membership = String.raw`(?:ADMIN|INHERIT|SET) (?:OPTION|TRUE|FALSE)`;
/**
 * Whole statements in the forms of pg_dumpall's source, from the first letter to the last: nothing else is ever run, so
 * that no statement hides in another one.
 */
const patterns = {
  createRole: new RegExp(`^CREATE ROLE ${name}$`, 's'),
  alterRole: new RegExp(
    `^ALTER ROLE ${name} (?:WITH(?: ${attribute})+|(?:IN DATABASE ${name} )?SET ${name} TO ${literal}(?:, ${literal})*)$`,
    's',
  ),
  commentRole: new RegExp(`^COMMENT ON ROLE ${name} IS ${literal}$`, 's'),
  labelRole: new RegExp(`^SECURITY LABEL FOR ${name} ON ROLE ${name} IS ${literal}$`, 's'),
  grantRole: new RegExp(
    `^GRANT ${name} TO ${name}((?: WITH ${membership}(?:, ${membership})*)?)(?: GRANTED BY ${name})?$`,
    's',
  ),
  grantParameter: new RegExp(
    `^GRANT (?:ALL|SET|ALTER SYSTEM)(?:, ?(?:SET|ALTER SYSTEM))* ON PARAMETER ${name} TO ${name}(?: WITH GRANT OPTION)?$`,
    's',
  ),
  createTablespace: new RegExp(`^CREATE TABLESPACE ${name} OWNER ${name} LOCATION '((?:[^'\\\\]|'')*)'$`, 's'),
  alterTablespace: new RegExp(
    String.raw`^ALTER TABLESPACE ${name} SET \([a-z_]+ ?= ?[\d.]+(?:, [a-z_]+ ?= ?[\d.]+)*\)$`,
  ),
  commentTablespace: new RegExp(`^COMMENT ON TABLESPACE ${name} IS ${literal}$`, 's'),
  grantTablespace: new RegExp(
    `^(?:GRANT|REVOKE)(?: GRANT OPTION FOR)? (?:ALL|CREATE) ON TABLESPACE ${name} (?:TO|FROM) (?:GROUP )?${name}(?: WITH GRANT OPTION)?$`,
    's',
  ),
};
/** What begins like a statement that is run has to be one: left out, a role would come without what it had. */
const BEGINS = /^(?:CREATE ROLE|ALTER ROLE|COMMENT ON ROLE|CREATE TABLESPACE|ALTER TABLESPACE|COMMENT ON TABLESPACE)\b/;

/** Statements of a globals file in their order. Its text is never given to a server as a whole. */
export function parseGlobals(text: string): readonly GlobalStatement[] {
  return splitStatements(text).map(classify);
}

/** A literal's or an identifier's end is known from its quotes: PostgreSQL writes this file with standard strings. */
export function splitStatements(text: string): readonly string[] {
  const statements: string[] = [];
  let start = 0;
  let at = 0;
  // Known instead of looked for: blanks before a statement may be many.
  let begun = false;
  while (at < text.length) {
    const character = text.charAt(at);
    if (!begun && (text.startsWith('--', at) || character === '\\')) {
      at = lineEnd(text, at);
      start = at;
    } else if (character === ';') {
      statements.push(text.slice(start, at).trim());
      at += 1;
      start = at;
      begun = false;
    } else {
      begun ||= character.trim() !== '';
      at = character === "'" || character === '"' ? closingQuote(text, at) + 1 : at + 1;
    }
  }
  if (text.slice(start).trim() !== '') throw damaged('it ends in the middle of a statement');
  return statements;
}

/** How a statement is told by its beginning, and what is taken from it. The first that fits counts. */
const readers: readonly [RegExp, (sql: string, parts: RegExpExecArray) => GlobalStatement][] = [
  [patterns.createRole, (sql, [, role]) => ({ kind: 'create-role', role: unquote(role), sql })],
  [patterns.alterRole, (sql, [, role]) => ({ kind: 'alter-role', role: unquote(role), sql })],
  [
    patterns.labelRole,
    (sql, [, provider, role]) => ({ kind: 'label-role', provider: unquote(provider), role: unquote(role), sql }),
  ],
  [patterns.commentRole, (sql, [, role]) => ({ kind: 'comment-role', role: unquote(role), sql })],
  [
    patterns.grantRole,
    (_sql, [, granted = '', member = '', options = '']) => ({
      kind: 'grant-role',
      granted: unquote(granted),
      member: unquote(member),
      // Who granted it may not exist on another server, and matters to nobody there.
      sql: `GRANT ${granted} TO ${member}${options}`,
    }),
  ],
  [patterns.grantParameter, (sql, [, , role]) => ({ kind: 'grant-parameter', role: unquote(role), sql })],
  [
    patterns.createTablespace,
    (sql, [, tablespace, , location = '']) => ({
      kind: 'create-tablespace',
      tablespace: unquote(tablespace),
      location: location.replaceAll("''", "'"),
      sql,
    }),
  ],
  ...[patterns.alterTablespace, patterns.commentTablespace, patterns.grantTablespace].map(
    (pattern): [RegExp, (sql: string, parts: RegExpExecArray) => GlobalStatement] => [
      pattern,
      (sql, [, name]) => ({ kind: 'alter-tablespace', tablespace: unquote(name), sql }),
    ],
  ),
];

function classify(sql: string): GlobalStatement {
  for (const [pattern, read] of readers) {
    const parts = pattern.exec(sql);
    if (parts !== null) return read(sql, parts);
  }
  if (BEGINS.test(sql)) throw damaged('it has a statement that pg_dumpall does not write');
  return { kind: /^SET /.test(sql) ? 'setting' : 'other', sql };
}

function unquote(identifier = ''): string {
  if (!identifier.startsWith('"')) return identifier;
  return identifier.slice(1, -1).replaceAll('""', '"');
}

function lineEnd(text: string, from: number): number {
  const end = text.indexOf('\n', from);
  return end === -1 ? text.length : end + 1;
}

function closingQuote(text: string, from: number): number {
  const quote = text.charAt(from);
  for (let at = text.indexOf(quote, from + 1); at !== -1; at = text.indexOf(quote, at + 2)) {
    if (text.charAt(at + 1) !== quote) return at;
  }
  throw damaged('a quote is never closed');
}

function damaged(why: string): RepriseError {
  return new RepriseError(
    'backup-corrupt',
    `the file of roles and tablespaces cannot be read: ${why}`,
    'choose another backup with recover --to backup:ID',
  );
}
