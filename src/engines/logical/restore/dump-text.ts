/**
 * Text of a dump in another encoding than UTF8 is its bytes, each as a character: it goes to the server as it came, as a name may
 * have no equivalent in UTF-8, or be in no encoding at all.
 */
import type pg from 'pg';
import { queryBytes, textDecoder } from '../../../postgres/content/encoding.js';
import type { ArchiveToc } from '../archive/toc.js';

type Encoded = Pick<ArchiveToc, 'encoding'>;

/** Text of ours, such as the name of a role of the configuration, among text of the dump. */
export function asDumpText({ encoding }: Encoded, text: string): string {
  return encoding === 'UTF8' ? text : Buffer.from(text, 'utf8').toString('latin1');
}

/** A name that all databases share, as the dump has it, in words. Such names are bytes, most often of UTF-8. */
export function sharedName({ encoding }: Encoded, name: string): string {
  return encoding === 'UTF8' ? name : textDecoder('SQL_ASCII')(Buffer.from(name, 'latin1'));
}

/** The bytes of such a name in hex, as `sharedNames` gives those of the server. */
export function sharedBytes({ encoding }: Encoded, name: string): string {
  return Buffer.from(name, encoding === 'UTF8' ? 'utf8' : 'latin1').toString('hex');
}

/** Has the client take statements of the dump, until `fn` has ended. */
export async function withDumpText<T>(
  client: pg.ClientBase,
  { encoding }: Encoded,
  fn: (run: (statements: string) => Promise<void>) => Promise<T>,
): Promise<T> {
  if (encoding === 'UTF8')
    return fn(async (statements) => {
      await client.query(statements);
    });
  // Nothing is converted then, whatever the encoding of the database.
  await client.query("SET client_encoding TO 'SQL_ASCII'");
  const result = await fn((statements) => queryBytes(client, Buffer.from(statements, 'latin1')));
  await client.query("SET client_encoding TO 'UTF8'");
  return result;
}
