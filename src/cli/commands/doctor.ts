import { Option } from 'commander';
import type { Command } from 'commander';
import { hostname } from 'node:os';
import { RepriseError } from '../../domain/errors.js';
import type { Finding } from '../../domain/findings.js';
import { temporalFindings } from '../../client/checks/temporal-findings.js';
import { type Cli, unknownName } from '../cli-context.js';
import { define } from '../define-command.js';
import { findingsText } from '../terminal/findings-text.js';
import { counted } from '../terminal/tables.js';
import { collect } from '../common-options.js';

/** `reprise doctor` */
export function registerDoctor(program: Command, cli: Cli): void {
  define<{ host?: readonly string[] }>(program, cli, {
    usage: 'doctor',
    summary: 'find what would make a backup or a recovery fail, each with its fix',
    description:
      'Works without Temporal and without a worker, and says what it could not check. Exit 8 if there is a problem.',
    examples: ['doctor', 'doctor --json', 'doctor --host db1'],
    options: [
      new Option(
        '--host <name>',
        'name of this machine under hosts in reprise.yml; may be given several times',
      ).argParser(collect),
    ],
    run: async (self, _args, options) => {
      const config = await self.config();
      const remote = await temporalFindings(self.temporalSettings(), config, {
        except: options.host,
        withThisFile: true,
      });
      const local = await localHosts(options.host, Object.keys(config.hosts), new Set(remote.answeredHosts));
      const inspected = await Promise.all(local.map((host) => self.services.inspectHost(config, host)));
      const skipped = Object.keys(config.hosts).filter(
        (host) => !local.includes(host) && !remote.answeredHosts.includes(host),
      );
      const findings: readonly Finding[] = [...inspected.flat(), ...remote.findings, ...skipped.map(notLookedAt)];
      await self.print({ findings }, (view, screen) => findingsText(self.terminal, view.findings, screen));
      const problems = findings.filter(({ level }) => level === 'problem').length;
      if (problems > 0)
        throw new RepriseError(
          'check-failed',
          `doctor found ${counted(problems, 'problem')}`,
          'follow each "fix" above, then run `reprise doctor` again',
        );
    },
  });
}

/** Hosts looked at from here: those named, else the only one, else the one called like this machine. */
async function localHosts(
  named: readonly string[] | undefined,
  known: readonly string[],
  answered: ReadonlySet<string>,
): Promise<readonly string[]> {
  for (const host of named ?? []) {
    if (known.includes(host)) continue;
    throw await unknownName(`there is no host "${host}" in the config`, host, known, 'hosts');
  }
  if (named !== undefined) return named;
  const missing = known.filter((host) => !answered.has(host));
  const short = hostname().split('.')[0] ?? '';
  return known.length === 1 ? missing : missing.filter((host) => host === hostname() || host === short);
}

function notLookedAt(host: string): Finding {
  return {
    check: `host/${host}`,
    level: 'warning',
    message: `host ${host} was not checked with this file: its worker is not running, or runs with another one`,
    fix: `run there: reprise doctor --host ${host}`,
  };
}
