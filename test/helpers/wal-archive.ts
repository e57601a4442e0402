import { copyFile, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isHistoryName, isSegmentName, parseTimelineHistory } from '../../src/domain/target/wal.js';
import { openCourse, type Course } from '../../src/postgres/wal/transactions/wal-course.js';
import type { WalArchive, WalReader } from '../../src/postgres/wal/wal-archive.js';
import { type ScratchCluster, type ScratchOptions, startScratchCluster } from './postgres.js';
import { tempDir } from './temp.js';
import { until } from './until.js';
import { closeSegment } from './wal-segment.js';

/** A cluster that archives its WAL into a directory, as it is. */
export interface ArchivingCluster {
  readonly cluster: ScratchCluster;
  readonly directory: string;
  readonly reader: WalReader;
  /** Switches to a new segment and waits until the one before is archived; returns its name. */
  archived(): Promise<string>;
  /** The archived WAL as it is now, without the server's own. */
  course(timeline?: number): Promise<Course>;
}

export async function startArchivingCluster(options: ScratchOptions = {}): Promise<ArchivingCluster> {
  const directory = await tempDir('wal');
  const version = options.version ?? 15;
  const archive = `cp %p '${directory}/%f.part' && mv '${directory}/%f.part' '${directory}/%f'`;
  const cluster = await startScratchCluster({ initdb: ['--wal-segsize=1'], ...options, version, archive });
  const scratch = await tempDir('scan');
  return {
    ...{ cluster, directory },
    reader: walReader(cluster),
    archived: async () => {
      const name = await closeSegment(cluster);
      await until(async () => (await readdir(directory)).includes(name), `${name} is archived`);
      return name;
    },
    course: async (timeline) =>
      openCourse({ archive: await directoryArchive(directory), dataDir: null, scratch }, timeline ?? null),
  };
}

function walReader({ binDir }: Pick<ScratchCluster, 'binDir'>): WalReader {
  return { pgBin: binDir, user: null, signal: new AbortController().signal, report: () => undefined };
}

/** Segments in a directory as an archive. */
export async function directoryArchive(directory: string): Promise<WalArchive> {
  const names = (await readdir(directory)).toSorted();
  return {
    segments: names.filter(isSegmentName),
    timelines: names.filter(isHistoryName).map((name) => Number.parseInt(name.slice(0, 8), 16)),
    readHistory: async (timeline) =>
      parseTimelineHistory(
        await readFile(join(directory, `${timeline.toString(16).toUpperCase().padStart(8, '0')}.history`), 'utf8'),
      ),
    fetch: (segment, into) => copyFile(join(directory, segment), join(into, segment)),
  };
}
