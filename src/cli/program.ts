import { Command, Option } from 'commander';
import { registerBackup } from './commands/backup.js';
import { registerBeside } from './commands/beside.js';
import { registerCheck } from './commands/check.js';
import { Cli } from './cli-context.js';
import { registerCompletion } from './commands/completion.js';
import { registerCluster } from './commands/cluster.js';
import { registerConfig } from './commands/config.js';
import { registerDecisions } from './commands/decisions.js';
import { registerDoctor } from './commands/doctor.js';
import { reportError } from './report-error.js';
import { registerIncident } from './commands/incident.js';
import { registerInit } from './commands/init.js';
import { registerKept } from './commands/kept.js';
import { registerKey } from './commands/key.js';
import { isNagios, reportUnknown } from './terminal/nagios.js';
import { registerWal } from './commands/wal.js';
import { registerUp } from './commands/up.js';
import { registerWorker } from './commands/worker.js';
import { registerDemo } from './commands/demo.js';
import { registerMedia } from './commands/media.js';
import { registerDrill } from './commands/drill.js';
import { registerTable } from './commands/table.js';
import { registerExplore } from './commands/explore.js';
import { registerNotify } from './commands/notify.js';
import { formatFromArgv, parseFormat } from './terminal/output.js';
import type { OutputFormat } from './terminal/output.js';
import { registerRecover } from './commands/recover.js';
import { registerRotate } from './commands/rotate.js';
import { registerSchedule } from './commands/schedule.js';
import { define } from './define-command.js';
import type { Services } from './services.js';
import { registerStatus } from './commands/status.js';
import { registerStorage } from './commands/storage.js';
import type { ColorMode, Terminal } from './terminal/terminal.js';

/** In the order of `--help`: from the first command to those of an incident. */
const groups = [
  registerInit,
  registerUp,
  registerWorker,
  registerDemo,
  registerVersion,
  registerDoctor,
  registerCheck,
  registerConfig,
  registerCluster,
  registerSchedule,
  registerBackup,
  registerRotate,
  registerRecover,
  registerMedia,
  registerDrill,
  registerTable,
  registerExplore,
  registerDecisions,
  registerIncident,
  registerKept,
  registerBeside,
  registerWal,
  registerStorage,
  registerKey,
  registerNotify,
  registerStatus,
  registerCompletion,
];

/** The whole command line, ready to parse. */
export function buildProgram(
  services: Services,
  terminal: Terminal,
  format: OutputFormat = 'table',
  cli = new Cli(services, terminal),
): Command {
  const program = new Command('reprise');
  program
    .description('PostgreSQL backup and recovery as durable workflows.')
    .addOption(
      new Option(
        '--config <file>',
        'configuration (default: $REPRISE_CONFIG, ./reprise.yml, /etc/reprise/reprise.yml)',
      ),
    )
    .addOption(new Option('-o, --output <format>', 'table, json or yaml').argParser(parseFormat))
    .addOption(new Option('--json', 'the same as -o json'))
    .addOption(new Option('--color <when>', 'colours').choices(['auto', 'always', 'never']).default('auto'))
    .addOption(
      new Option(
        '--address <host:port>',
        'Temporal server (default: as the `temporal` command line reads it, or that of `reprise up`)',
      ),
    )
    .addOption(new Option('--namespace <name>', 'namespace of the Temporal server'))
    .addOption(new Option('--version', 'print the version'))
    .configureHelp({ showGlobalOptions: true, helpWidth: Math.min(Math.max(terminal.columns, 80), 120) })
    .configureOutput({
      writeOut: (text) => terminal.out(text),
      // The help of a group that was called without a command; errors themselves are printed in one place, below.
      writeErr: (text) => (format === 'table' ? terminal.err(`${text}\n`) : undefined),
      outputError: () => undefined,
    })
    .showSuggestionAfterError(true)
    .addHelpText(
      'after',
      '\nExamples:\n  $ reprise demo\n  $ reprise recover mairie --to 2026-11-21T02:15:00Z --dry-run\n\nIn an incident begin with: reprise status',
    )
    .hook('preAction', () => terminal.setColor(program.opts<{ color: ColorMode }>().color));
  for (const register of groups) register(program, cli);
  nameInErrors(program, 'reprise');
  return program;
}

/** Runs one command line (without node and script) and returns its exit code. */
export async function runCli(argv: readonly string[], services: Services, terminal: Terminal): Promise<number> {
  const format = formatFromArgv(argv);
  // Asked by a shell's script, never by a person: no command of the help.
  if (argv[0] === 'complete' && (argv[1] === '--' || argv[1] === '--refresh')) {
    const { complete, refresh } = await import('./terminal/completion/complete.js');
    const cli = new Cli(services, terminal);
    const program = buildProgram(services, terminal, format, cli);
    if (argv[1] === '--') terminal.out(`${await complete(program, cli, argv.slice(2))}\n`);
    else await refresh(program, cli, argv.slice(2));
    return 0;
  }
  try {
    const program = buildProgram(services, terminal, format);
    const asked = unknownCommand(program, argv) ?? withVersionCommand(argv, format);
    await program.parseAsync([...asked], { from: 'user' });
    return 0;
  } catch (error) {
    return isNagios(argv) ? reportUnknown(terminal, error) : await reportError(terminal, format, error);
  }
}

function registerVersion(program: Command, cli: Cli): void {
  define(program, cli, {
    usage: 'version',
    summary: 'print the version',
    examples: ['version', 'version --json'],
    run: async (self) => {
      const version = await self.services.version();
      await self.print({ version }, (view) => `reprise ${view.version}`);
    },
  });
}

/**
 * Help that is asked of a command that there is not: the command alone, which is refused with what was probably meant. The
 * parser would print the help of the group. Null where the command is known, or no help was asked for.
 */
function unknownCommand(program: Command, argv: readonly string[]): readonly string[] | null {
  const words = argv[0] === 'help' ? [...argv.slice(1), '--help'] : argv;
  if (!words.includes('--help') && !words.includes('-h')) return null;
  let command = program;
  const known: string[] = [];
  for (let index = 0; index < words.length; index++) {
    const word = words[index] ?? '';
    if (word === '--') return null;
    if (word.startsWith('-')) {
      const option = [...program.options, ...command.options].find(({ long, short }) => [long, short].includes(word));
      if (option?.required === true) index++;
      continue;
    }
    if (command.commands.length === 0 || word === 'help') return null;
    known.push(word);
    const next = command.commands.find((one) => one.name() === word);
    if (next === undefined) return known;
    command = next;
  }
  return null;
}

/** `--version` is the command `version`, whatever stands beside it. */
function withVersionCommand(argv: readonly string[], format: OutputFormat): string[] {
  const end = argv.indexOf('--');
  const isAsked = (end < 0 ? argv : argv.slice(0, end)).includes('--version');
  return isAsked ? ['version', '--output', format] : [...argv];
}

/** An error of parsing says which command's `--help` to read; a group without a command shows its own. */
function nameInErrors(command: Command, path: string): void {
  command.exitOverride((error) => {
    throw Object.assign(error, { command: path });
  });
  for (const child of command.commands) nameInErrors(child, `${path} ${child.name()}`);
}
