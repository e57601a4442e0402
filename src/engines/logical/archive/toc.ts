import { RepriseError } from '../../../domain/errors.js';
import { textDecoder } from '../../../postgres/content/encoding.js';

/** One entry of a dump's table of contents, as pg_dump wrote it (`pg_backup_archiver.c`, WriteToc). */
export interface TocEntry {
  readonly id: number;
  /** Catalog of the object, 0 where the entry is no object of its own, such as rows or rights. */
  readonly catalog: number;
  readonly oid: number;
  readonly tag: string;
  /** `TABLE`, `FUNCTION`, `TABLE DATA`, `ACL`. */
  readonly kind: string;
  readonly definition: string;
  readonly drop: string;
  readonly schema: string;
  readonly tablespace: string;
  readonly accessMethod: string;
  readonly owner: string;
  /** Where its rows begin in the file; null where it has none, or where pg_dump wrote to a pipe and could not say. */
  readonly dataAt: number | null;
}

/** What a dump in custom format says of itself, before its data. */
export interface ArchiveToc {
  /** `server_version` of the server that was dumped, as text. */
  readonly serverVersion: string;
  readonly toolVersion: string;
  /** PostgreSQL's name for it; text in another one than UTF8 is read byte by byte (`restore/dump-text.ts`). */
  readonly encoding: string;
  readonly entries: readonly TocEntry[];
}

const MAGIC = 'PGDMP';
const CUSTOM = 1;
/** Format versions of PostgreSQL 12 to 18: what an older or newer one holds, is not guessed. */
const [OLDEST, WITHOUT_OIDS, COMPRESSION, RELATION_KIND, NEWEST] = [0x010c, 0x010c, 0x010f, 0x0110, 0x0110];
const ACCESS_METHOD = 0x010e;
/** `K_OFFSET_POS_SET`. */
const OFFSET_SET = 2;
/** No dump has more entries; a damaged number must not make us loop for hours. */
const MOST_ENTRIES = 50_000_000;

/** The beginning that was given ends within the table of contents. */
export class TocIncomplete extends Error {}

/**
 * Reads the table of contents from the beginning of a dump in custom format.
 * @throws TocIncomplete where more bytes are needed
 * @throws RepriseError `backup-corrupt` where it is none, `version-mismatch` for a format we do not know
 */
export function readToc(beginning: Buffer): ArchiveToc {
  const reader = new TocReader(beginning);
  const version = reader.header();
  const toolStrings = { database: reader.text(), serverVersion: reader.text(), toolVersion: reader.text() };
  const count = reader.int();
  if (count < 0 || count > MOST_ENTRIES) throw damaged(`it has ${count} entries`);
  const entries: TocEntry[] = [];
  let encoding = '';
  for (let index = 0; index < count; index++) {
    const entry = reader.entry(version);
    entries.push(entry);
    if (entry.kind === 'ENCODING') {
      encoding = /^SET client_encoding = '(\w+)';/.exec(entry.definition)?.[1] ?? '';
      reader.encoding = decoderOf(encoding);
    }
  }
  const { serverVersion, toolVersion } = toolStrings;
  return { serverVersion, toolVersion, encoding, entries };
}

class TocReader {
  private at = 0;
  private intSize = 4;
  private offsetSize = 8;
  /** Of the text: pg_dump says it in its first entry. */
  encoding: (bytes: Buffer) => string = (bytes) => bytes.toString('latin1');

  constructor(private readonly bytes: Buffer) {}

  /** Reads all before the name of the database; returns the version of the format. */
  header(): number {
    if (this.take(MAGIC.length).toString('latin1') !== MAGIC) throw damaged('it does not begin like a dump');
    const [major, minor] = [this.byte(), this.byte()];
    this.byte();
    const version = (major << 8) | minor;
    if (version < OLDEST || version > NEWEST)
      throw new RepriseError(
        'version-mismatch',
        `the dump has version ${major}.${minor} of its format, which this version of Reprise does not read`,
        'restore_as: superuser restores it as pg_restore does',
      );
    [this.intSize, this.offsetSize] = [this.byte(), this.byte()];
    if (this.intSize < 1 || this.intSize > 6 || this.offsetSize < 1 || this.offsetSize > 8)
      throw damaged('the sizes in its header are none');
    if (this.byte() !== CUSTOM) throw damaged('it is not in custom format');
    if (version >= COMPRESSION) this.byte();
    else this.int();
    // Seconds, minutes, hours, day, month, year and daylight saving.
    for (let part = 0; part < 7; part++) this.int();
    return version;
  }

  entry(version: number): TocEntry {
    const id = this.int();
    this.int();
    const [catalog, oid] = [this.number(), this.number()];
    const [tag, kind] = [this.text(), this.text()];
    this.int();
    const [definition, drop] = [this.text(), this.text()];
    this.text();
    const [schema, tablespace] = [this.text(), this.text()];
    const accessMethod = version >= ACCESS_METHOD ? this.text() : '';
    if (version >= RELATION_KIND) this.int();
    const owner = this.text();
    if (version >= WITHOUT_OIDS) this.text();
    while (this.optionalText() !== null);
    const isKnown = this.byte() === OFFSET_SET;
    const offset = this.take(this.offsetSize);
    // Files of more than 281 TB do not come.
    const dataAt = isKnown ? offset.readUIntLE(0, Math.min(6, this.offsetSize)) : null;
    return { id, catalog, oid, tag, kind, definition, drop, schema, tablespace, accessMethod, owner, dataAt };
  }

  int(): number {
    const isNegative = this.byte() !== 0;
    const value = this.take(this.intSize).readUIntLE(0, this.intSize);
    return isNegative ? -value : value;
  }

  text(): string {
    return this.optionalText() ?? '';
  }

  private optionalText(): string | null {
    const length = this.int();
    return length < 0 ? null : this.encoding(this.take(length));
  }

  private number(): number {
    const text = this.text();
    if (!/^\d{1,10}$/.test(text)) throw damaged('a number in it is none');
    return Number(text);
  }

  private byte(): number {
    return this.take(1).readUInt8(0);
  }

  private take(length: number): Buffer {
    if (this.at + length > this.bytes.length) throw new TocIncomplete();
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }
}

/** Every byte is told apart, also where a text is not what it says: it is compared, and names are taken from it. */
function decoderOf(encoding: string): (bytes: Buffer) => string {
  // Statements are made of it, and not every text of another encoding is one in UTF-8: each byte is a character of its own.
  return encoding === 'UTF8' ? textDecoder(encoding) : (bytes) => bytes.toString('latin1');
}

function damaged(why: string): RepriseError {
  return new RepriseError(
    'backup-corrupt',
    `the dump's table of contents cannot be read: ${why}`,
    'choose another backup with recover --to backup:ID',
  );
}
