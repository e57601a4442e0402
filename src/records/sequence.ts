import type { RecordProblem } from '../domain/backup/catalogue.js';
import { isRepriseError } from '../domain/errors.js';
import type { CatalogueRecord } from '../domain/backup/records.js';
import type { ReadableStorage } from '../storage/storage.js';
import { parseRecord } from './envelope.js';

/** Reads at once; a catalogue of years is thousands of small files. */
const readsAtOnce = 16;

/** More records than any cluster will ever have: a file with a higher number is none of the sequence. */
const mostRecords = 1_000_000_000_000;

/** Missing numbers of one gap that are named one by one. */
const mostNamed = 8;

/** What is known of a sequence after a refresh; the arrays and maps are the cache itself, not to be changed. */
export interface SequenceView {
  readonly records: readonly CatalogueRecord[];
  readonly problems: readonly RecordProblem[];
  /** By record id, the first of each. */
  readonly known: ReadonlyMap<string, CatalogueRecord>;
  /** Number that nobody had taken when this was read. */
  readonly next: number;
}

export function recordKey(cluster: string, seq: number): string {
  return `${recordsFolder(cluster)}${String(seq).padStart(8, '0')}.json`;
}

/**
 * The one sequence of a cluster's records, read incrementally: a list once, then only the numbers after the
 * last. Records are never changed or deleted, so that what was read stays true.
 */
export function createSequence(storage: ReadableStorage, cluster: string): { refresh(): Promise<SequenceView> } {
  const records: CatalogueRecord[] = [];
  const problems: RecordProblem[] = [];
  const known = new Map<string, CatalogueRecord>();
  /** Taken numbers whose records are in a class that has to be thawed, ascending. */
  const frozen: number[] = [];
  let last = 0;
  let listed = false;
  let running: Promise<SequenceView> | null = null;

  /** True where the number was taken. */
  const take = (seq: number, content: Buffer | RecordProblem | null): boolean => {
    if (content === null) return false;
    last = seq;
    if ('reason' in content) {
      problems.push(content);
      frozen.push(seq);
      return true;
    }
    const parsed = parseRecord(content.toString('utf8'), seq);
    if (!('kind' in parsed)) {
      problems.push({ key: recordKey(cluster, seq), reason: parsed.reason });
    } else {
      records.push(parsed);
      if (!known.has(parsed.id)) known.set(parsed.id, parsed);
    }
    return true;
  };

  const readNumber = async (seq: number): Promise<Buffer | RecordProblem | null> => {
    try {
      return await storage.read(recordKey(cluster, seq));
    } catch (error) {
      if (isRepriseError(error) && error.code === 'not-found') return null;
      // A link or a pipe in a record's place is a damaged record, not a reason to read none.
      if (isRepriseError(error) && error.code === 'path-refused') return Buffer.from('');
      // A lifecycle that is not ours may freeze records: the others are as readable as before.
      if (isRepriseError(error) && error.code === 'object-cold')
        return {
          key: recordKey(cluster, seq),
          reason: 'it is in an archive class',
          hint: error.hint,
        };
      throw error;
    }
  };

  /** Records that were frozen when they were read, as far as they are thawed by now, each in its place among the others. */
  const takeThawed = async (): Promise<void> => {
    for (let [seq] = frozen; seq !== undefined; [seq] = frozen) {
      const content = await readNumber(seq);
      if (content === null || 'reason' in content) return;
      frozen.shift();
      problems.splice(
        problems.findIndex(({ key }) => key === recordKey(cluster, seq)),
        1,
      );
      const end = last;
      take(seq, content);
      last = end;
      records.sort((left, right) => left.seq - right.seq);
    }
  };

  const readListed = async (): Promise<void> => {
    const { numbers, strangers } = await listNumbers(storage, cluster);
    problems.push(...strangers);
    for (let start = 0; start < numbers.length; start += readsAtOnce) {
      const some = numbers.slice(start, start + readsAtOnce);
      const contents = await Promise.all(some.map(readNumber));
      for (const [index, seq] of some.entries()) {
        if (seq > last + 1) problems.push(...missingBetween(cluster, last + 1, seq - 1));
        take(seq, contents[index] ?? Buffer.from(''));
      }
    }
    listed = true;
  };

  const refresh = async (): Promise<SequenceView> => {
    if (!listed) await readListed();
    else await takeThawed();
    while (take(last + 1, await readNumber(last + 1)));
    return { records, problems, known, next: last + 1 };
  };

  return {
    // Two refreshes at once would take each number twice; the second must still see what was written after the first.
    async refresh() {
      while (running !== null) await running.catch(() => undefined);
      running = refresh().finally(() => (running = null));
      return running;
    },
  };
}

function recordsFolder(cluster: string): string {
  return `${cluster}/records/`;
}

/** Missing numbers: a few one by one, many as a range, because a single file may leave out billions of them. */
function missingBetween(cluster: string, first: number, end: number): RecordProblem[] {
  const reason = 'it is missing although later ones exist';
  if (end - first >= mostNamed)
    return [{ key: recordKey(cluster, first), reason: `${reason}, and so are all up to ${recordKey(cluster, end)}` }];
  return Array.from({ length: end - first + 1 }, (_, step) => ({ key: recordKey(cluster, first + step), reason }));
}

/** Taken numbers, ascending, and files that are named like records and cannot be any. */
async function listNumbers(
  storage: ReadableStorage,
  cluster: string,
): Promise<{ readonly numbers: number[]; readonly strangers: RecordProblem[] }> {
  const folder = recordsFolder(cluster);
  const numbers: number[] = [];
  const strangers: RecordProblem[] = [];
  for await (const { key } of storage.list(folder)) {
    const name = /^(\d{8,})\.json$/.exec(key.slice(folder.length))?.[1];
    if (name === undefined) continue;
    const seq = Number(name);
    if (seq >= 1 && seq <= mostRecords && recordKey(cluster, seq) === key) numbers.push(seq);
    else strangers.push({ key, reason: 'its name is none that a record has', hint: `move ${key} out of the folder` });
  }
  return { numbers: numbers.sort((left, right) => left - right), strangers };
}
