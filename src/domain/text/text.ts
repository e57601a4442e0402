/** Bytes of a text in UTF-8, by code point: the limits of Temporal count bytes, and its sandbox has no Buffer. */
export function utf8Bytes(text: string): number {
  let bytes = 0;
  for (const character of text) bytes += bytesOf(character);
  return bytes;
}

/** The text if it has at most so many bytes, else its beginning and `…`, never half a character. */
export function clipBytes(text: string, maxBytes: number): string {
  if (utf8Bytes(text) <= maxBytes) return text;
  let kept = '';
  let bytes = bytesOf('…');
  for (const character of text) {
    bytes += bytesOf(character);
    if (bytes > maxBytes) break;
    kept += character;
  }
  return `${kept}…`;
}

function bytesOf(character: string): number {
  const code = character.codePointAt(0) ?? 0;
  if (code < 0x80) return 1;
  if (code < 0x800) return 2;
  return code < 0x10000 ? 3 : 4;
}

/** Control characters, and those that reorder or hide text or are not seen. Emoji need the two variation selectors. */
const UNSEEN = String.raw`(?![\ufe0e\ufe0f])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]`;
const unseen = new RegExp(UNSEEN, 'gu');
/** Line ends, and the styles that our own output has. */
const unseenOnTerminal = new RegExp(String.raw`\n|\x1b\[(?:1|2|22|3[1236]|39)m|${UNSEEN}`, 'gu');

/**
 * One line of plain text: line ends become blanks; control characters and those that reorder or hide text (bidirectional
 * marks, zero-width characters, tags) are shown by their number, so that a name looks like what it is.
 */
export function visible(text: string): string {
  return text.replace(/[\r\n\t]+/g, ' ').replace(unseen, numbered);
}

/** The same for lines that are written to a terminal, whose styles stay. */
export function visibleLines(text: string): string {
  return text.replace(unseenOnTerminal, (found) => (found === '\n' || found.length > 2 ? found : numbered(found)));
}

/** The same for JSON: what is not seen stands in it by its escape, and means what it meant. */
export function visibleJson(json: string): string {
  return json.replace(unseenOnTerminal, (found) => (found === '\n' ? found : [...found].flatMap(escapesOf).join('')));
}

function numbered(character: string): string {
  return `<U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}>`;
}

function escapesOf(character: string): string[] {
  return character.split('').map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** Sizes as people say them: decimal units, one digit. `1234567` → `1.2 MB`. */
export function sizeInWords(bytes: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let amount = bytes;
  let unit = 0;
  // 999.95 would be rounded to 1000.0 of the smaller unit.
  while (amount >= 999.95 && unit < units.length - 1) {
    amount /= 1000;
    unit += 1;
  }
  return unit === 0 ? `${bytes} bytes` : `${amount.toFixed(1)} ${units[unit]}`;
}

/** Durations as people say them, two units at the most: `4 h 05 min`, `12 min 30 s`, `0.4 s`. */
export function durationInWords(seconds: number): string {
  if (seconds < 10) return `${Math.round(seconds * 10) / 10} s`;
  const whole = Math.round(seconds);
  const two = (amount: number) => String(amount).padStart(2, '0');
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
  return `${Math.floor(whole / 86_400)} d ${two(Math.floor((whole % 86_400) / 3600))} h`;
}

/** An instant as people read it: nobody decides on milliseconds. */
export const toTheSecond = (instant: string): string => instant.replace(/\.\d+Z$/, 'Z');

/** As a shell takes it for one word: nothing in it is expanded. A character that is not seen is written by its code, as `bash` and `zsh` read it. */
export function shellWord(text: string): string {
  if (/^[\w@%+:,./-][\w@%+=:,./-]*$/.test(text)) return text;
  if (!/\p{Cc}/u.test(text)) return `'${text.replaceAll("'", String.raw`'\''`)}'`;
  const byCode = (character: string): string => `\\${(character.codePointAt(0) ?? 0).toString(8).padStart(3, '0')}`;
  // Characters from U+0080 to U+009F are two bytes in UTF-8.
  const bytes = (character: string): string =>
    [...new TextEncoder().encode(character)].map((byte) => byCode(String.fromCharCode(byte))).join('');
  return `$'${text.replace(/['\\]/g, String.raw`\$&`).replace(/\p{Cc}/gu, bytes)}'`;
}

/** What may be typed, each with its option: `--policy a, or --policy b`. A shell would take `a | b` for a pipe. */
export function oneOf(option: string, values: readonly string[]): string {
  return values.map((value) => `${option} ${value}`).join(', or ');
}
