import { previousRuns } from '../../config/schedule.js';
import type { ClusterConfig } from '../../domain/config.js';
import { overdueEntry } from '../../domain/drill/register.js';
import { type Finding, ok, problem, warning } from '../../domain/findings.js';
import type { InspectionResults } from '../../domain/operation/inspections.js';
import { durationInWords } from '../../domain/text/text.js';

/** Open entries of the quality register, and a drill that is overdue although nothing has looked for it yet. */
export function drillFindings(
  { name: cluster, drill }: ClusterConfig,
  { drills, register, lost = [], firstRecordAt }: InspectionResults['drills'],
  now: Date,
): readonly Finding[] {
  if (drill === undefined) return [];
  const check = `drill/${cluster}`;
  const run = `reprise drill run ${cluster}`;
  const open = register.filter(({ closedBy }) => closedBy === null);
  const [due] = previousRuns(drill.schedule, now, 1);
  const overdue =
    due === undefined
      ? null
      : overdueEntry(
          { cluster, dueAt: due.toISOString(), signOffSeconds: drill.signOff?.withinSeconds, owner: null },
          drills,
          firstRecordAt,
          now.toISOString(),
        );
  const found = open.map(({ text, dueAt, owner, drillId }) =>
    problem(
      check,
      `${text}; to be made good until ${dueAt}${owner === null ? '' : ` by ${owner}`}`,
      drillId === null ? run : `reprise drill show ${drillId}; then, when the cause is corrected: ${run}`,
    ),
  );
  if (overdue !== null && !open.some(({ id }) => id === overdue.id)) found.push(problem(check, overdue.text, run));
  for (const { text } of lost)
    found.push(
      problem(
        `evidence/${cluster}`,
        text,
        'find out who removed it, and bring it back from a copy: a number of the chain is given once; reprise drill list shows the others',
      ),
    );
  if (found.length > 0) return found;
  const last = drills.findLast(({ verdict }) => verdict === 'pass');
  if (last === undefined) return [warning(check, `no drill of ${cluster} has passed yet`, run)];
  const age = durationInWords((now.getTime() - Date.parse(last.finishedAt)) / 1000);
  return [ok(check, `the last drill of ${cluster} passed ${age} ago`)];
}
