import type { Finding } from '../../domain/findings.js';
import { withLocalTimes } from '../../domain/target/instant.js';
import { visible } from '../../domain/text/text.js';
import { counted, type Screen, wrapped } from './tables.js';
import type { Terminal } from './terminal.js';

const levels = ['problem', 'warning', 'ok'] as const;
const colors = { ok: 'green', warning: 'yellow', problem: 'red' } as const;

/** Findings below what they are about, what is wrong first, each with its fix; a count at the end. */
export function findingsText(
  terminal: Pick<Terminal, 'paint'>,
  findings: readonly Finding[],
  { columns = Infinity, zone }: Screen,
): string {
  const groups = new Map<string, Finding[]>();
  for (const finding of findings) {
    const name = groupOf(finding);
    groups.set(name, [...(groups.get(name) ?? []), finding]);
  }
  const blocks = [...groups].map(([name, found]) => {
    const lines = found
      .toSorted((a, b) => levels.indexOf(a.level) - levels.indexOf(b.level))
      .map(({ level, message, fix }) => {
        const mark = terminal.paint(colors[level], level.padEnd(7), 'out');
        // A fix is often typed: it is left in one piece.
        const lines = wrapped(withLocalTimes(visible(message), zone), columns - 11);
        return `  ${mark}  ${lines.join(`\n${' '.repeat(11)}`)}${fix === null ? '' : `\n             fix: ${visible(fix)}`}`;
      });
    return `${terminal.paint('bold', name, 'out')}\n${lines.join('\n')}`;
  });
  const count = (level: Finding['level']): number => findings.filter((finding) => finding.level === level).length;
  const counts = `${counted(count('problem'), 'problem')}, ${counted(count('warning'), 'warning')}, ${count('ok')} ok`;
  return `${blocks.join('\n\n')}\n\n${counts}`;
}

/** `cluster/mairie/copies` belongs to `cluster mairie`; what has no name of its own belongs to its kind. */
function groupOf({ check }: Finding): string {
  const [kind = '', name] = check.split('/');
  if (['cluster', 'repository', 'host'].includes(kind)) return `${kind} ${visible(name ?? '')}`;
  if (['node', 'user', 'config'].includes(kind)) return 'this machine';
  if (['temporal', 'worker', 'search-attributes', 'schedule', 'schedules', 'watch', 'archive'].includes(kind))
    return 'Temporal';
  return kind;
}
