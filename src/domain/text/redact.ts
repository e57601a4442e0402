/**
 * Takes secrets and row values out of what a tool printed, before it goes into an error, a log or a history.
 * When in doubt it hides too much: the whole text stays in the job's own files, readable by their owner only.
 */
const HIDDEN = '***';

const KEYWORD =
  '(?:password|passwd|passphrase|pgpass|pwd|secret|token|cipher-pass|s3-key|api[_-]?key|access[_-]?key|credential|signature)';
const VALUE = `(?:'(?:\\\\.|''|[^'\\\\])*'?|"(?:\\\\.|[^"\\\\])*"?|[^\\s&,;'"]+)`;

const rules: readonly (readonly [RegExp, string])[] = [
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g, HIDDEN],
  [/AGE-SECRET-KEY-[\w-]+/gi, HIDDEN],
  // Up to the last @ of the word: passwords hold unescaped ones.
  [/\b([a-z][a-z0-9+.-]{0,30}:\/\/[^\s:@/]*):[^\s]*@/gi, `$1:${HIDDEN}@`],
  [/\b((?:proxy-)?authorization\s*:).*/gi, `$1 ${HIDDEN}`],
  [/\b(bearer\s+)[\w.~+/=-]+/gi, `$1${HIDDEN}`],
  [new RegExp(`(${KEYWORD}[\\w.-]{0,40}["']?\\s*(?:=|:)\\s*)${VALUE}`, 'gi'), `$1${HIDDEN}`],
  // SQL: CREATE ROLE ... PASSWORD '...'
  [/\b(password\s+)'(?:''|[^'])*'?/gi, `$1${HIDDEN}`],
  [/\bSCRAM-SHA-256\$[\w$:+/=]+/g, HIDDEN],
  [/\bmd5[0-9a-f]{32}\b/g, HIDDEN],
  [/\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/g, HIDDEN],
  // Row values that PostgreSQL's messages quote.
  [
    /(Key \([^\n]*?\)=)\([\s\S]*?\)(?= (?:already exists|is not present|is still referenced|conflicts)|\n|$)/g,
    `$1(${HIDDEN})`,
  ],
  [/(Failing row contains )\([\s\S]*?\)\.?(?=\n|$)/g, `$1(${HIDDEN})`],
  [/(\bCOPY [^\n]*?, line \d+(?:, column [^\n:]*)?: )"[\s\S]*?"(?=\n|$)/g, `$1"${HIDDEN}"`],
  [/((?:invalid input (?:syntax|value) for [^\n:]*|value out of range[^\n:]*): )"[^\n]*"/g, `$1"${HIDDEN}"`],
];

/** The text without passwords, keys, tokens and quoted row values. */
export function redact(text: string): string {
  return rules.reduce((rest, [pattern, replacement]) => rest.replace(pattern, replacement), text);
}
