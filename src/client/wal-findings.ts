import type { Finding } from '../domain/findings.js';
import type { WalWindow } from '../domain/questions.js';
import { durationInWords } from '../domain/text.js';

/** What a cluster's archived log is good for, in words: between which instants any moment can be recovered. */
export function walFindings(cluster: string, windows: readonly WalWindow[], now = new Date()): readonly Finding[] {
  return windows.map(({ policy, oldest, newest, hole }): Finding => {
    const check = `wal/${cluster}/${policy}`;
    const fix = `reprise backup run ${cluster} --policy ${policy} --type full, so that there is a backup after the hole; then find out what removed the segments`;
    if (oldest === null) {
      if (hole === null) return { check, level: 'problem', message: `${cluster}/${policy}: no moment can be recovered, there is no whole backup`, fix: `reprise backup run ${cluster} --policy ${policy}` };
      return { check, level: 'problem', message: `${cluster}/${policy}: no moment after the newest backup can be recovered: ${hole}`, fix };
    }
    const age = newest === null ? '' : `, ${durationInWords(Math.max(0, (now.getTime() - Date.parse(newest)) / 1000))} ago`;
    const window = `${cluster}/${policy}: every moment from ${oldest} to ${newest ?? 'the end of that backup'}${age} can be recovered`;
    if (hole === null) return { check, level: 'ok', message: `${window}, without a hole in the WAL`, fix: null };
    return { check, level: 'warning', message: `${window}; older backups only to a hole: ${hole}`, fix: 'nothing brings the segments back, unless another copy of the archive has them; rotation removes these backups in time' };
  });
}
