import { type Command, Option } from 'commander';
import { MOST_STARTS, type BackfillStart, backfill, backfillStarts } from '../../client/schedules/backfill.js';
import type { Cli } from '../cli-context.js';
import { define } from '../define-command.js';
import { table } from '../terminal/format.js';
import { parseTime } from '../common-options.js';

/** `reprise schedule backfill` */
export function registerBackfill(parent: Command, cli: Cli): void {
  define<{ from: string; to: string }>(parent, cli, {
    usage: 'backfill <id>',
    summary: 'make up for starts that a schedule missed',
    description: [
      `Starts what was due between two past times, one after the other, ${MOST_STARTS} at the most. Each makes a backup of now,`,
      'not of then: one is often enough (`schedule trigger`). None of them rotates: nothing is removed because of a backfill.',
    ].join('\n'),
    argumentHelp: { id: 'as `schedule list` shows it; mairie/nightly-dump is enough' },
    examples: [
      'schedule backfill mairie/nightly-dump --from 2026-11-18T00:00:00Z --to 2026-11-20T12:00:00Z --dry-run',
      'schedule backfill mairie/nightly-dump --from 2026-11-20T02:00:00+01:00 --to 2026-11-20T03:00:00+01:00',
    ],
    options: [
      new Option('--from <time>', 'first time that counts, with its offset').argParser(parseTime).makeOptionMandatory(),
      new Option('--to <time>', 'last time that counts, past by two minutes at least')
        .argParser(parseTime)
        .makeOptionMandatory(),
    ],
    changes: true,
    run: async (self, [id = ''], { from, to, dryRun }) => {
      const config = await self.config();
      const starts = await self.withTemporal((session) =>
        (dryRun ? backfillStarts : backfill)(session, config, id, { from, to }),
      );
      await self.print({ ...(dryRun ? { dryRun } : {}), id, from, to, starts }, (view) =>
        startsText(view.starts, dryRun === true),
      );
      const first = starts.find(({ alreadyStarted }) => !alreadyStarted);
      if (!dryRun && first)
        self.say(`they run one after the other; follow the first: ${self.command('watch', first.workflowId)}`);
    },
  });
}

function startsText(starts: readonly BackfillStart[], dryRun: boolean): string {
  const what = ({ alreadyStarted }: BackfillStart) =>
    alreadyStarted ? 'ran already' : dryRun ? 'would start' : 'starts';
  return table(
    ['due', 'what', 'workflow'],
    starts.map((one) => [one.at, what(one), one.workflowId]),
  );
}
