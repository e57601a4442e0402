import { setTimeout as sleep } from 'node:timers/promises';
import type { CatalogueState, RecordProblem } from '../domain/backup/catalogue.js';
import { RepriseError } from '../domain/errors.js';
import type { CatalogueRecord, NewRecord } from '../domain/backup/records.js';
import type { ReadableStorage, WritableStorage } from '../storage/storage.js';
import { parseRecord } from './envelope.js';
import { foldRecords } from './fold.js';
import { inPieces, recordJson } from './pieces.js';
import { createSequence, recordKey } from './sequence.js';
import { isPlainName } from '../files/safe-names.js';

export type DocumentFormat = 'md' | 'html';

/** What a dry run gets: it cannot add a record. */
export interface CatalogueReader {
  readonly cluster: string;
  /** All records, oldest first; what was read before is not read again. */
  records(): Promise<readonly CatalogueRecord[]>;
  /** What the records come to at `now` (default: this instant), which decides which holds are over. */
  state(now?: Date): Promise<CatalogueState>;
  /** Record files that could not be read as records, and numbers that are missing: they hide nothing else. */
  problems(): Promise<readonly RecordProblem[]>;
  /** The incident document of an operation, in Markdown or as HTML; null where none was written. */
  incidentDocument(operationId: string, format?: DocumentFormat): Promise<string | null>;
}

export interface Catalogue extends CatalogueReader {
  /**
   * Adds a fact, once: a record of this id that is there already is returned as it is.
   *
   * @throws RepriseError `conflict` when other writers were faster {@link mostTries} times in a row, and what the
   * storage throws.
   */
  append(record: NewRecord): Promise<CatalogueRecord>;
  /** Writes the incident document to `<cluster>/incidents/<operation id>.md`, or `.html`, and returns its key. */
  writeIncidentDocument(operationId: string, text: string, format?: DocumentFormat): Promise<string>;
}

/** Each loss means that somebody else wrote: so many in a row is no coincidence but a broken storage. */
const mostTries = 60;

/**
 * The records of one cluster, in the repository named by its `catalogue`. Keep the handle: it remembers what it has
 * read, and a new one reads every record again. `prev` stays null until evidence is signed.
 */
export function openCatalogue(storage: WritableStorage, cluster: string): Catalogue {
  const reader = readCatalogue(storage, cluster);

  async function appendOne(record: NewRecord): Promise<CatalogueRecord> {
    for (let tries = 1; tries <= mostTries; tries++) {
      const { known, next } = await reader.refresh();
      const same = known.get(record.id);
      if (same !== undefined) return same;
      const whole = { seq: next, prev: null, ...record } as CatalogueRecord;
      const content = recordJson(whole);
      const parsed = parseRecord(content, next);
      if (!('kind' in parsed)) throw unwritable(record, parsed.reason);
      if (await storage.createIfAbsent(recordKey(cluster, next), content)) {
        // Through the reader, so that memory holds what a reader of the file would get.
        await reader.refresh();
        return whole;
      }
      // Losers that came together should not come together again.
      await sleep(Math.random() * Math.min(100, 5 * tries));
    }
    throw new RepriseError(
      'conflict',
      `the record ${record.id} could not be added: other writers were faster ${mostTries} times`,
      'find out which other program writes to this catalogue, then try again',
    );
  }

  return {
    ...reader.view,
    async append(record) {
      const { before, last } = inPieces(record);
      for (const piece of before) await appendOne(piece);
      return appendOne(last);
    },
    async writeIncidentDocument(operationId, text, format) {
      const key = incidentKey(cluster, operationId, format);
      await storage.write(key, text);
      return key;
    },
  };
}

/** The same, for those who must not write. */
export function openCatalogueForReading(storage: ReadableStorage, cluster: string): CatalogueReader {
  return readCatalogue(storage, cluster).view;
}

function readCatalogue(storage: ReadableStorage, cluster: string) {
  const sequence = createSequence(storage, cluster);
  const view: CatalogueReader = {
    cluster,
    // A copy: the cache grows under whoever holds it.
    records: async () => [...(await sequence.refresh()).records],
    state: async (now = new Date()) => foldRecords(cluster, (await sequence.refresh()).records, now),
    problems: async () => [...(await sequence.refresh()).problems],
    async incidentDocument(operationId, format) {
      const key = incidentKey(cluster, operationId, format);
      return (await storage.stat(key)) === null ? null : (await storage.read(key)).toString('utf8');
    },
  };
  return { view, refresh: sequence.refresh };
}

function incidentKey(cluster: string, operationId: string, format: DocumentFormat = 'md'): string {
  if (!isPlainName(operationId, 200)) {
    throw new RepriseError(
      'path-refused',
      'an operation id that is no file name has no incident document',
      'use the operation id that reprise incident list shows',
    );
  }
  return `${cluster}/incidents/${operationId}.${format}`;
}

function unwritable(record: NewRecord, reason: string): RepriseError {
  return new RepriseError('internal', `the record ${record.id} is not one that could be read again: ${reason}`);
}
