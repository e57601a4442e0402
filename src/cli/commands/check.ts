import { Option } from 'commander';
import type { Command } from 'commander';
import { setTimeout as sleep } from 'node:timers/promises';
import { RepriseError } from '../../domain/errors.js';
import { checkClusters } from '../../client/checks/check.js';
import type { Cli } from '../cli-context.js';
import { define } from '../define-command.js';
import { QuietExit } from '../report-error.js';
import { findingsText } from '../terminal/findings-text.js';
import { counted } from '../terminal/tables.js';
import { nagiosLine, nagiosState } from '../terminal/nagios.js';
import { parseSeconds } from '../common-options.js';

/** Monitoring gives a plugin about a minute. */
const DEFAULT_SECONDS = 50;

/** `reprise check` */
export function registerCheck(program: Command, cli: Cli): void {
  define<{ nagios?: boolean; timeout: number }>(program, cli, {
    usage: 'check [cluster]',
    summary: 'check that backups are recent and verified, WAL is archived and schedules ran',
    description:
      'Exit 8 when there is a problem. With --nagios one line, and the exit codes of a monitoring plugin:\n0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.',
    argumentHelp: { cluster: 'only this one (default: all)' },
    examples: ['check', 'check mairie --nagios'],
    options: [
      new Option('--nagios', 'one line with performance data, exit codes 0 to 3'),
      new Option('--timeout <duration>', 'stop after this time (exit 124; UNKNOWN with --nagios)')
        .argParser(parseSeconds)
        .default(DEFAULT_SECONDS, `${DEFAULT_SECONDS}s`),
    ],
    run: async (self, [name], options) => {
      const config = await self.config();
      const clusters = name === undefined ? Object.keys(config.clusters) : [(await self.cluster(name)).name];
      const result = await Promise.race([
        checkClusters(self.temporalSettings(), config, clusters),
        tooLate(options.timeout),
      ]);
      if (options.nagios) {
        const { line, exitCode } = nagiosLine(result);
        self.terminal.out(`${line}\n`);
        throw new QuietExit(exitCode);
      }
      await self.print({ status: nagiosState(result.findings).toLowerCase(), ...result }, (view, screen) =>
        findingsText(self.terminal, view.findings, screen),
      );
      const problems = result.findings.filter(({ level }) => level === 'problem').length;
      if (problems > 0)
        throw new RepriseError(
          'check-failed',
          `check found ${counted(problems, 'problem')}`,
          'follow each "fix" above, then run `reprise check` again',
        );
    },
  });
}

async function tooLate(seconds: number): Promise<never> {
  await sleep(seconds * 1000, undefined, { ref: false });
  throw new RepriseError(
    'timeout',
    `the check did not end within ${seconds} s`,
    'see what does not answer: reprise doctor',
  );
}
