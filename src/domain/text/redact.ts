/**
 * Takes secrets and row values out of what a tool printed, before it goes into an error, a log or a history.
 * When in doubt it hides too much: the whole text stays in the job's own files, readable by their owner only.
 *
 * Others choose the text: a CHECK constraint's message is as long as its owner likes. So the text is cut first, each
 * pattern ends in time that grows with the text's length, and no more than one pass is made for each.
 */
const HIDDEN = '***';

/** The longest text that is read for secrets. */
export const MOST_REDACTED = 64 * 1024;

const KEYWORD =
  '(?:password|passwd|passphrase|pgpass|pwd|secret|token|cipher-pass|s3-key|api[_-]?key|access[_-]?key|credential|signature)';
const VALUE = String.raw`(?:'(?:\\[^]|''|[^'\\])*'?|"(?:\\[^]|[^"\\])*"?|[^\s&,;'"]+)`;

const rules: readonly (readonly [RegExp, string | ((found: string) => string)])[] = [
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g, HIDDEN],
  [/AGE-SECRET-KEY-[\w-]+/gi, HIDDEN],
  [/\S+/g, withoutPassword],
  [/\b((?:proxy-)?authorization\s*:).*/gi, `$1 ${HIDDEN}`],
  [/\b(bearer\s+)[\w.~+/=-]+/gi, `$1${HIDDEN}`],
  [new RegExp(`(${KEYWORD}[\\w.-]{0,40}["']?\\s*(?:=|:)\\s*)${VALUE}`, 'gi'), `$1${HIDDEN}`],
  // SQL: CREATE ROLE ... PASSWORD '...'
  [/\b(password\s+)'(?:''|[^'])*'?/gi, `$1${HIDDEN}`],
  [/\bSCRAM-SHA-256\$[\w$:+/=]+/g, HIDDEN],
  [/\bmd5[0-9a-f]{32}\b/g, HIDDEN],
  [/\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/g, HIDDEN],
  // Row values that PostgreSQL's messages quote within a line; those that may hold newlines follow below.
  [/\b(value )"[^"\n]*"(?= is out of range)/g, `$1"${HIDDEN}"`],
  [/\b(JSON data, line \d+: ).*/g, `$1${HIDDEN}`],
];

/** The text without passwords, keys, tokens and quoted row values; of a very long one, its beginning. */
export function redact(text: string): string {
  const whole = rules.reduce<string>(
    (rest, [pattern, replacement]) =>
      typeof replacement === 'string' ? rest.replace(pattern, replacement) : rest.replace(pattern, replacement),
    beginningOf(text),
  );
  return withoutRowValues(whole);
}

/** Cut at the end of a word, because no rule would know half of an address with its password. */
function beginningOf(text: string): string {
  if (text.length <= MOST_REDACTED) return text;
  const kept = text.slice(0, MOST_REDACTED);
  return `${kept.slice(0, kept.search(/\s\S*$/) + 1)}…`;
}

/** A word, of whose address everything up to the last @ is hidden: passwords hold unescaped ones. */
export function withoutPassword(word: string): string {
  const end = word.lastIndexOf('@');
  if (end === -1) return word;
  const user = /\b[a-z][a-z0-9+.-]{0,30}:\/\/[^\s:@/]*:/i.exec(word.slice(0, end));
  if (user === null) return word;
  return `${word.slice(0, user.index + user[0].length)}${HIDDEN}${word.slice(end)}`;
}

/** What a line has said so far of the row value that may follow in it. */
interface Line {
  key?: boolean;
  copy?: 'named' | 'numbered';
  wrong?: boolean;
}

/** Kinds of row values, by what surrounds them. */
type Value = 'key' | 'row' | 'copied' | 'wrong';

const MARKS =
  /\n|\bkey (?:of the failing row contains )?\(|\)(?:=| = )\(|\bFailing row contains \(|\bCOPY |, line \d|\b(?:invalid input (?:syntax|value)|out of range|malformed \w+ literal)\b|: "/gi;
const ENDS: Readonly<Record<Value, RegExp>> = {
  key: /\)(?= (?:already exists|is not present|is still referenced|is duplicated|conflicts)|\.?(?:\n|$))/g,
  row: /\)\.?(?=\n|$)/g,
  copied: /"(?=\n|$)/g,
  wrong: /"(?=[^"\n]*(?:\n|$))/g,
};

/**
 * Hides the row values of PostgreSQL's messages. One pass: each mark changes what is known of its line, and a value that
 * begins is hidden up to its end, which may be lines further; where there is none, up to the end of the text.
 */
function withoutRowValues(text: string): string {
  let shown = '';
  let from = 0;
  let line: Line = {};
  MARKS.lastIndex = 0;
  for (let mark = MARKS.exec(text); mark !== null; mark = MARKS.exec(text)) {
    const begin = MARKS.lastIndex;
    const value = readMark(mark[0].toLowerCase(), line);
    if (mark[0] === '\n') line = {};
    if (value === null) continue;
    ENDS[value].lastIndex = begin;
    const end = ENDS[value].exec(text);
    shown += `${text.slice(from, begin)}${HIDDEN}${value === 'key' || value === 'row' ? ')' : '"'}`;
    from = end === null ? text.length : ENDS[value].lastIndex;
    MARKS.lastIndex = from;
  }
  return shown + text.slice(from);
}

/** Notes what a mark says of its line; the kind of the row value that begins after it, null where none does. */
function readMark(mark: string, line: Line): Value | null {
  if (mark.startsWith('key ')) line.key = true;
  else if (mark.startsWith('copy ')) line.copy = 'named';
  else if (mark === ': "') return line.wrong ? 'wrong' : line.copy === 'numbered' ? 'copied' : null;
  else if (mark.startsWith(', line ')) line.copy &&= 'numbered';
  else if (mark.startsWith('failing row')) return 'row';
  else if (mark.startsWith(')')) return line.key ? 'key' : null;
  else if (mark !== '\n') line.wrong = true;
  return null;
}
