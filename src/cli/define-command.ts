import { Option } from 'commander';
import type { Command } from 'commander';
import type { Cli } from './cli-context.js';
import { TimeOption, parseSeconds } from './common-options.js';

/** One command: its help, its options and what it runs. */
export interface CommandDefinition<O> {
  /** Name with arguments, e.g. `hold <id>`. */
  readonly usage: string;
  readonly summary: string;
  /** Longer text below the usage line. */
  readonly description?: string;
  /** At least two, without the leading `reprise`. */
  readonly examples: readonly [string, string, ...string[]];
  readonly argumentHelp?: Readonly<Record<string, string>>;
  /** Where an argument is one of few words: checked, and offered by completion. */
  readonly argumentChoices?: Readonly<Record<string, readonly string[]>>;
  /** The same, checked by the command itself, which says what was meant. */
  readonly argumentOffers?: Readonly<Record<string, readonly string[]>>;
  readonly options?: readonly Option[];
  /** Adds `--dry-run`. */
  readonly changes?: boolean;
  /** Asks before it acts: adds `--yes`, which answers. */
  readonly asks?: boolean;
  /** Asks nothing, and accepts `--yes`, so that scripts may always give it. */
  readonly takesYes?: boolean;
  /** Adds `--detach` and `--timeout`. */
  readonly long?: boolean;
  readonly run: (cli: Cli, args: readonly string[], options: O & CommonOptions) => Promise<void>;
}

export interface CommonOptions {
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly detach?: boolean;
  /** Seconds. */
  readonly timeout?: number;
}

/** Adds a command below `parent`. */
export function define<O>(parent: Command, cli: Cli, definition: CommandDefinition<O>): void {
  const command = parent.command(definition.usage).summary(definition.summary);
  command.description(
    definition.description === undefined
      ? sentence(definition.summary)
      : `${sentence(definition.summary)}\n\n${definition.description}`,
  );
  for (const argument of command.registeredArguments) {
    argument.description = definition.argumentHelp?.[argument.name()] ?? '';
    const choices = definition.argumentChoices?.[argument.name()];
    if (choices !== undefined) argument.choices(choices);
    const offered = definition.argumentOffers?.[argument.name()];
    if (offered !== undefined) argument.argChoices = [...offered];
  }
  for (const option of definition.options ?? []) command.addOption(option);
  if (definition.changes) command.option('--dry-run', 'show what would be done, change nothing');
  if (definition.asks) command.option('-y, --yes', 'do not ask; never replaces an approval that policy asks for');
  if (definition.takesYes) command.option('-y, --yes', 'accepted for scripts: this command asks nothing');
  if (definition.long) {
    command.option('--detach', 'start it, print how to follow it, and return');
    command.addOption(
      new Option('--timeout <duration>', 'stop waiting after this time (exit 124); the operation continues').argParser(
        parseSeconds,
      ),
    );
  }
  command.addHelpText(
    'after',
    `\nExamples:\n${definition.examples.map((example) => `  $ reprise ${example}`).join('\n')}`,
  );
  command.action(async () => {
    cli.globals = command.optsWithGlobals();
    for (const option of command.options)
      if (option instanceof TimeOption && option.understood !== null && cli.showsProgress) cli.say(option.understood);
    const args = command.processedArgs.flat().filter((value): value is string => typeof value === 'string');
    await definition.run(cli, args, command.opts<O & CommonOptions>());
  });
}

/** Adds a group of commands, such as `backup`. */
export function group(parent: Command, name: string, summary: string): Command {
  return parent.command(name).summary(summary).description(sentence(summary));
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}
