import type { JobLock } from './jobs.js';

/** Each name once, exclusive where either asks for it: a second open file of the same lock would stand in our own way. */
export function mergeLocks(...lists: readonly (readonly JobLock[])[]): readonly JobLock[] {
  const modes = new Map<string, JobLock['mode']>();
  for (const { name, mode } of lists.flat()) {
    modes.set(name, mode === 'exclusive' ? mode : (modes.get(name) ?? mode));
  }
  return [...modes].map(([name, mode]) => ({ name, mode }));
}
