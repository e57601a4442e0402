import { readdir, readFile } from 'node:fs/promises';
import { dirname, isAbsolute, join } from 'node:path';
import type { LeftoverTarget } from '../../domain/plan/recovery-observations.js';

/** PostgreSQL's own limit for files that include each other. */
const MOST_DEPTH = 10;
/** No configuration file is longer. */
const MOST_BYTES = 1_000_000;
/** What decides where a recovery stops, or along which timeline; how it stops there harms nobody. */
const TARGETS = /^recovery_target(?:_name|_time|_xid|_lsn|_timeline)?$/;

/**
 * Settings that an earlier recovery left in configuration files, files that they include, too: each one would stop the next
 * recovery, or a standby. What cannot be read is passed over; an empty value, and the newest timeline, are none.
 * @param files `postgresql.conf`, `postgresql.auto.conf` and others, wherever they are
 */
export async function leftoverTargets(files: readonly string[]): Promise<readonly LeftoverTarget[]> {
  const found: LeftoverTarget[] = [];
  const seen = new Set<string>();
  const readOne = async (file: string, depth: number): Promise<void> => {
    if (depth > MOST_DEPTH || seen.has(file)) return;
    seen.add(file);
    const text = await readFile(file, 'utf8').catch(() => '');
    if (text.length > MOST_BYTES) return;
    for (const line of text.split('\n')) {
      const setting = settingIn(line);
      if (setting === null) continue;
      const { name, value } = setting;
      if (name.startsWith('include'))
        for (const other of await included(file, name, value)) await readOne(other, depth + 1);
      else if (TARGETS.test(name) && value !== '' && value !== 'latest') found.push({ file, name, value });
    }
  };
  for (const file of files) await readOne(file, 0);
  return found;
}

/** `name = 'value'`, `name value`; null for a comment, or anything else. */
function settingIn(line: string): { readonly name: string; readonly value: string } | null {
  const match = /^\s*([A-Za-z_]\w*)(?:\s*=\s*|\s+)(?:'((?:[^'\\]|''|\\.)*)'|([^\s#']+))/.exec(line);
  if (match === null) return null;
  return { name: (match[1] ?? '').toLowerCase(), value: (match[2] ?? match[3] ?? '').replaceAll("''", "'") };
}

async function included(file: string, directive: string, value: string): Promise<readonly string[]> {
  const path = isAbsolute(value) ? value : join(dirname(file), value);
  if (directive === 'include' || directive === 'include_if_exists') return [path];
  if (directive !== 'include_dir') return [];
  const names = await readdir(path).catch(() => []);
  return names
    .filter((name) => name.endsWith('.conf') && !name.startsWith('.'))
    .toSorted()
    .map((name) => join(path, name));
}
