/**
 * Names of a database are bytes in its encoding. The driver reads every answer as UTF-8, which fails or lies where the server
 * does not convert (SQL_ASCII) or cannot; so names come as hex, and are read here.
 */
import pg from 'pg';

/** PostgreSQL's names for encodings, where Node.js has another one; the rest is told by its number. */
const LABELS: Readonly<Record<string, string>> = {
  ...{ UTF8: 'utf-8', LATIN9: 'iso-8859-15', LATIN10: 'iso-8859-16', LATIN5: 'windows-1254', WIN866: 'ibm866' },
  ...{ WIN874: 'windows-874', KOI8R: 'koi8-r', KOI8U: 'koi8-u', EUC_JP: 'euc-jp', EUC_KR: 'euc-kr', EUC_CN: 'gbk' },
  // Text of no known encoding is most often UTF-8.
  ...{ SJIS: 'shift_jis', SQL_ASCII: 'utf-8' },
};

/**
 * Reads text in one of PostgreSQL's encodings. What is not what it says to be is read byte by byte: every byte is told
 * apart, and different bytes are different text.
 */
export function textDecoder(encoding: string): (bytes: Buffer) => string {
  const label =
    LABELS[encoding] ?? encoding.replace(/^LATIN([2-8])$/, 'iso-8859-$1').replace(/^WIN(125\d)$/, 'windows-$1');
  if (LABELS[encoding] === undefined && label === encoding) return (bytes) => bytes.toString('latin1');
  const newDecoder = () => new TextDecoder(label, { fatal: true, ignoreBOM: true });
  let decoder = newDecoder();
  return (bytes) => {
    try {
      return decoder.decode(bytes);
    } catch {
      // Nothing of what it failed on may stay in it.
      decoder = newDecoder();
      return bytes.toString('latin1');
    }
  };
}

/** Whether each text has one form in bytes and is read here as what it is: not in SQL_ASCII, where nobody says what bytes mean. */
export function knowsText(encoding: string): boolean {
  if (encoding === 'SQL_ASCII') return false;
  return LABELS[encoding] !== undefined || /^(LATIN[1-8]|WIN125\d)$/.test(encoding);
}

/** What is UTF-8 as text; what is not, in words that show its bytes. */
export function textOrBytes(bytes: Buffer): { readonly text: string; readonly isText: boolean } {
  try {
    return { text: new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes), isText: true };
  } catch {
    const shown = [...bytes].map((byte) => (byte < 0x80 ? String.fromCharCode(byte) : `\\x${byte.toString(16)}`));
    return { text: shown.join(''), isText: false };
  }
}

/** The bytes of a text as the database has them, in hex. */
export const inDatabaseBytes = (text: string): string =>
  `pg_catalog.encode(pg_catalog.convert_to((${text})::pg_catalog.text, pg_catalog.getdatabaseencoding()), 'hex')`;

/** The bytes of a text as the session's client is to send them, in hex. */
export const inClientBytes = (text: string): string =>
  `pg_catalog.encode(pg_catalog.convert_to((${text})::pg_catalog.text, pg_catalog.pg_client_encoding()), 'hex')`;

/**
 * The bytes, in hex, of names that all databases share, such as those of roles: they may be no text in the encoding of this one.
 * @param column of type name
 * @param rest of the query, from `FROM` on
 */
export async function sharedNames(client: pg.ClientBase, column: string, rest: string): Promise<readonly string[]> {
  // Nothing is converted then, nor looked at.
  await client.query("SET client_encoding TO 'SQL_ASCII'");
  const { rows } = await client.query<{ name: string }>(
    `SELECT pg_catalog.encode(pg_catalog.namesend(${column}), 'hex') AS name ${rest}`,
  );
  await client.query("SET client_encoding TO 'UTF8'");
  return rows.map(({ name }) => name);
}

/** Reads what {@link inDatabaseBytes} gives. */
export async function databaseTextReader(client: pg.ClientBase): Promise<(hex: string) => string> {
  const { rows } = await client.query<{ encoding: string }>(
    'SELECT pg_catalog.getdatabaseencoding()::pg_catalog.text AS encoding',
  );
  const decode = textDecoder(rows[0]?.encoding ?? 'UTF8');
  return (hex) => decode(Buffer.from(hex, 'hex'));
}

interface RawConnection {
  readonly stream: { write(message: Buffer): unknown };
}

/** Runs statements given in bytes of the session's encoding. */
export async function queryBytes(client: pg.ClientBase, statements: Buffer): Promise<void> {
  const query = new pg.Query('');
  query.submit = (connection) => sendBytes(connection as unknown as RawConnection, statements);
  await new Promise<void>((resolve, reject) => {
    query.once('end', () => resolve());
    query.once('error', reject);
    client.query(query);
  });
}

/** A simple query in bytes of the session's encoding: as a message of the protocol, past the driver's UTF-8. */
export function sendBytes(connection: RawConnection, statement: Buffer): void {
  const length = Buffer.alloc(4);
  length.writeInt32BE(statement.length + 5);
  connection.stream.write(Buffer.concat([Buffer.from('Q'), length, statement, Buffer.from([0])]));
}
