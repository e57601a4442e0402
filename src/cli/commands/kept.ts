import { Option } from 'commander';
import type { Command } from 'commander';
import type { KeptItem } from '../../domain/backup/records.js';
import { sizeInWords } from '../../domain/text/text.js';
import { runInspection } from '../../client/inspect.js';
import type { Cli } from '../cli-context.js';
import { typeTheName } from '../terminal/prompts.js';
import { byOption } from '../common-options.js';
import { define, group } from '../define-command.js';
import { instant, table } from '../terminal/tables.js';

/** `reprise kept ...` */
export function registerKept(program: Command, cli: Cli): void {
  const kept = group(program, 'kept', 'old data that a recovery kept');
  define<{ cluster?: string }>(kept, cli, {
    usage: 'list',
    summary: 'list old data that was kept and is not yet dropped',
    examples: ['kept list', 'kept list --cluster mairie --json'],
    options: [new Option('--cluster <name>', 'only of this cluster')],
    run: async (self, _args, { cluster }) => {
      if (cluster !== undefined) await self.cluster(cluster);
      const answer = await self.withTemporal((session) => runInspection<'kept'>(session, { kind: 'kept', cluster }));
      await self.print({ kept: answer.kept }, (view) => keptTable(view.kept));
    },
  });
  define<{ by?: string; cluster?: string }>(kept, cli, {
    usage: 'drop <id>',
    summary: 'delete old data permanently',
    argumentHelp: { id: 'as `kept list` shows it' },
    examples: ['kept drop mairie-20261121-083600-a1b2c3 --dry-run', 'kept drop mairie-20261121-083600-a1b2c3 --yes'],
    options: [
      new Option('--cluster <name>', 'cluster of the old data: needed if the worker of another host is not running'),
      byOption(),
    ],
    changes: true,
    asks: true,
    run: async (self, [id = ''], options) => {
      const dryRun = options.dryRun === true;
      if (!dryRun) await typeTheName(self, `dropping ${id} deletes it permanently`, id, options.yes);
      const by = self.person(options.by);
      const { dropped } = await self.withTemporal(async (session) => {
        const { kept: items } = await runInspection<'kept'>(session, { kind: 'kept', cluster: options.cluster });
        const host = items.find((item) => item.id === id)?.host;
        return runInspection<'kept-drop'>(session, { kind: 'kept-drop', id, by, dryRun, host });
      });
      await self.print(
        { dryRun: options.dryRun, dropped },
        (view) => `${dryRun ? 'would drop' : 'dropped'}:\n${keptTable(view.dropped)}`,
      );
    },
  });
}

function keptTable(items: readonly KeptItem[]): string {
  if (items.length === 0) return 'nothing is kept';
  const rows = items.map((item) => [
    item.id,
    item.cluster,
    item.what,
    item.where,
    item.host,
    item.sizeBytes === null ? '-' : sizeInWords(item.sizeBytes),
    instant(item.since),
  ]);
  return table(['id', 'cluster', 'what', 'where', 'host', 'size', 'since'], rows);
}
