import type { ClusterConfig } from '../config.js';
import type { Finding } from '../findings.js';
import type { WalWindow } from '../operation/inspections.js';
import { consistentFrom } from '../target/consistent-from.js';
import { durationInWords } from '../text/text.js';

/** What is committed just before a segment is closed in time is archived a moment after. */
const GRACE_SECONDS = 60;

/** The recoverable range of each policy that archives WAL, in words. */
export function walFindings(
  { name: cluster, objectives }: Pick<ClusterConfig, 'name' | 'objectives'>,
  windows: readonly WalWindow[],
  now = new Date(),
): readonly Finding[] {
  const ageOf = (instant: string): number => Math.max(0, (now.getTime() - Date.parse(instant)) / 1000);
  return windows.map(({ policy, oldest, newest, hole, waitingSince, ofOtherCluster = 0 }): Finding => {
    const check = `wal/${cluster}/${policy}`;
    const fix = `reprise backup run ${cluster} --policy ${policy} --type full, so that there is a backup after the gap; then find out what removed the segments`;
    if (oldest === null) {
      if (hole === null && ofOtherCluster > 0)
        return {
          check,
          level: 'problem',
          message: `${cluster}/${policy}: there is no complete backup of the cluster that is in data_dir now: ${ofOtherCluster} ${ofOtherCluster === 1 ? 'is' : 'are'} of another system identifier`,
          fix: `after an upgrade: reprise backup run ${cluster} --policy ${policy}; where the cluster was lost and initdb made this one: reprise recover ${cluster}`,
        };
      if (hole === null)
        return {
          check,
          level: 'problem',
          message: `${cluster}/${policy}: nothing can be recovered: there is no complete backup`,
          fix: `reprise backup run ${cluster} --policy ${policy}`,
        };
      return {
        check,
        level: 'problem',
        message: `${cluster}/${policy}: nothing after the newest backup can be recovered: ${hole}`,
        fix,
      };
    }
    const others =
      ofOtherCluster === 0
        ? ''
        : `; ${ofOtherCluster} older backup${ofOtherCluster === 1 ? ' is' : 's are'} of another system identifier, as before an upgrade (reprise backup list)`;
    const window = `${cluster}/${policy}: ${rangeInWords(oldest, newest, ageOf)}${others}`;
    const { rpoSeconds } = objectives;
    // An idle server's archive grows old and lacks nothing.
    if (waitingSince !== undefined && rpoSeconds !== undefined && ageOf(waitingSince) > rpoSeconds + GRACE_SECONDS) {
      const lost = `what was committed since ${waitingSince} is not archived: if the cluster is lost now, ${durationInWords(ageOf(waitingSince))} of data are lost, more than its rpo of ${durationInWords(rpoSeconds)}`;
      return {
        check,
        level: 'warning',
        message: `${window}; ${lost}`,
        fix: `see why WAL is not archived: reprise doctor; where a worker receives it: reprise status archive/${cluster}/${policy}`,
      };
    }
    if (hole === null) return { check, level: 'ok', message: `${window}, without a gap in the WAL`, fix: null };
    return {
      check,
      level: 'warning',
      message: `${window}; older backups only to a gap in the WAL: ${hole}`,
      fix: 'the segments are lost, unless another copy of the archive has them; rotation removes these backups in time',
    };
  });
}

/** Both ends as `--to` takes them. Without a commit since, the last one is before the end of the backup: then there is no range, and no time is taken. */
function rangeInWords(oldest: string, newest: string | null, ageOf: (instant: string) => number): string {
  const from = consistentFrom(oldest);
  if (newest === null || Date.parse(newest) <= Date.parse(from))
    return `${oldest}, the end of the oldest backup, can be recovered (--to latest, or --to backup:ID), and no later commit is archived`;
  return `every time from ${from} to ${newest}, ${durationInWords(ageOf(newest))} ago can be recovered`;
}
