/**
 * Named places at which the chaos suite has a worker die. Inert unless `REPRISE_CRASH_AT` is set:
 *
 *   REPRISE_CRASH_AT=job:after-spawn             at the first such point
 *   REPRISE_CRASH_AT=job:after-spawn@pg_dump     only for that step or tool
 *   REPRISE_CRASH_AT=job:after-pid,job:after-exit@restore
 *   REPRISE_CRASH_ONCE=/tmp/marker               each entry once: `/tmp/marker.<n>` is made first (n = place in the list, from 0)
 */
import { closeSync, openSync } from 'node:fs';

/**
 * Kills this process by SIGKILL where this point was asked for.
 * @param name e.g. `job:after-spawn`, `activity:backup:before`
 * @param where what an entry's `@` may name: the step, the tool
 */
export function crashPoint(name: string, ...where: readonly string[]): void {
  const asked = process.env['REPRISE_CRASH_AT'];
  if (asked === undefined || asked === '') return;
  for (const [place, entry] of asked.split(',').entries()) {
    const at = entry.trim().lastIndexOf('@');
    const point = at < 0 ? entry.trim() : entry.trim().slice(0, at);
    const filter = at < 0 ? undefined : entry.trim().slice(at + 1);
    if (point !== name || (filter !== undefined && !where.includes(filter))) continue;
    if (firstTime(place)) process.kill(process.pid, 'SIGKILL');
  }
}

function firstTime(place: number): boolean {
  const marker = process.env['REPRISE_CRASH_ONCE'];
  if (marker === undefined || marker === '') return true;
  try {
    closeSync(openSync(`${marker}.${place}`, 'wx', 0o600));
    return true;
  } catch {
    return false;
  }
}
