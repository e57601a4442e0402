/** One backup in the report of `pgbackrest verify --output=text --verbose`. */
export interface VerifiedBackup {
  readonly label: string;
  readonly valid: boolean;
  readonly files: number;
  /** What is there: `valid`, or `invalid, missing: 0, checksum invalid: 1, ...`. */
  readonly words: string;
}

export interface VerifyReport {
  /** The command got as far as a report: it exits with 0 whatever it found. */
  readonly complete: boolean;
  readonly backups: ReadonlyMap<string, VerifiedBackup>;
  /** Damaged or missing files, below the archive or the backup directory: `15-1/…`, `LABEL/pg_data/…`. */
  readonly badFiles: readonly string[];
  /** What concerns the stanza as a whole, such as an unusable backup.info. */
  readonly problems: readonly string[];
}

/** Reads the console log of `verify`, whose exit code says nothing of what it found (design, "pgBackRest"). */
export function parseVerifyReport(log: string): VerifyReport {
  const backups = new Map<string, VerifiedBackup>();
  const badFiles: string[] = [];
  const problems = new Set<string>();
  let last: string | undefined;
  for (const line of log.split('\n')) {
    const [, label, status, files] = /backup: (\S+), status: ([a-z -]+), total files checked: (\d+)/.exec(line) ?? [];
    if (label !== undefined && status !== undefined) {
      last = label;
      backups.set(label, { label, valid: status === 'valid', files: Number(files), words: status });
      continue;
    }
    const counts = /^\s*(missing: .*|checksum invalid: .*|size invalid: .*|other: .*)$/.exec(line)?.[1];
    const found = last === undefined ? undefined : backups.get(last);
    if (counts !== undefined && found !== undefined && !found.valid) {
      backups.set(found.label, { ...found, words: `${found.words}, ${counts}` });
    }
    if (/archiveId: /.test(line)) last = undefined;
    const bad = /(?:invalid checksum|invalid size|file missing|invalid result) '([^']+)'/.exec(line)?.[1];
    if (bad !== undefined) badFiles.push(bad);
    const problem = /(No usable (?:backup|archive)\.info file|no archives or backups exist in the repo)/.exec(
      line,
    )?.[1];
    if (problem !== undefined) problems.add(problem);
  }
  return {
    complete: /verify command end: completed successfully/.test(log),
    backups,
    badFiles,
    problems: [...problems],
  };
}
