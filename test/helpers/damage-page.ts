import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { checksumOf, PAGE_BYTES } from '../../src/postgres/server/page-checksum.js';
import { runQuery } from './postgres.js';
import type { ServerAddress } from './postgres.js';

/** Changes bytes within page 0 of a new table in the database postgres, on disk; the path of its file below the data directory. */
export async function damagePage(server: ServerAddress, dataDir: string): Promise<string> {
  await runQuery(server, 'postgres', 'CREATE TABLE damaged AS SELECT generate_series(1, 1000) AS n');
  await runQuery(server, 'postgres', 'CHECKPOINT');
  const { rows } = await runQuery(server, 'postgres', "SELECT pg_relation_filepath('damaged') AS path");
  const { path } = rows[0] as { path: string };
  const file = await open(join(dataDir, path), 'r+');
  try {
    await file.write('changed', 4000);
    await file.sync();
  } finally {
    await file.close();
  }
  return path;
}

/**
 * Changes one letter of a row in page 0 of a table's file, and the page's checksum with it: what a disk or a tool that lies would leave, and
 * nothing but a comparison of rows finds.
 */
export async function changeRowSilently(path: string, text: string): Promise<void> {
  const file = await open(path, 'r+');
  try {
    const page = Buffer.alloc(PAGE_BYTES);
    await file.read(page, 0, PAGE_BYTES, 0);
    const at = page.indexOf(text);
    if (at < 0) throw new Error(`page 0 of ${path} has no ${text}`);
    page.writeUInt8(page.readUInt8(at) ^ 0x01, at);
    page.writeUInt16LE(checksumOf(page, 0), PD_CHECKSUM);
    await file.write(page, 0, PAGE_BYTES, 0);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Place of `pd_checksum` in a page. */
const PD_CHECKSUM = 8;
