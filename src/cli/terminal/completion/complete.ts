import { RootCommand } from '@bomb.sh/tab';
import type { Command as Completed, Complete } from '@bomb.sh/tab';
import type { Command, Option } from 'commander';
import type { Cli } from '../../cli-context.js';
import { namesFor } from './names.js';
import type { NameKind, Names } from './names.js';
import { printed } from './capture-output.js';

/** There is nothing to offer, and no file names either (a directive of tab). */
const NOTHING = ':4';

const byArgument: Readonly<Record<string, NameKind>> = { cluster: 'cluster', workflow: 'workflow' };
const byOption: Readonly<Record<string, NameKind>> = {
  '--cluster': 'cluster',
  '--policy': 'policy',
  '--host': 'host',
  '--into': 'target',
};

/**
 * Answers a shell, in the protocol of tab's scripts: a line for each candidate, then a directive. `words` are those
 * typed after `reprise`, the last one being completed. Nothing but candidates is ever printed.
 */
export async function complete(program: Command, cli: Cli, words: readonly string[]): Promise<string> {
  try {
    program.parseOptions([...words]);
    cli.globals = program.opts();
    // First to learn which names are wanted: only those are looked up.
    const wanted = new Set<NameKind>();
    const first = answer(program, words, (kind) => void wanted.add(kind));
    if (wanted.size === 0) return first;
    const names: Names = await namesFor(wanted, cli);
    return answer(program, words, (kind, offer) => names.get(kind)?.forEach((name) => offer(name, '')));
  } catch {
    return NOTHING;
  }
}

type Offer = (kind: NameKind, offer: Complete) => void;

function answer(program: Command, words: readonly string[], offer: Offer): string {
  const root = new RootCommand();
  describe(root, program, [], [], offer);
  return printed(() => root.parse([...words]));
}

/** Describes a command and all below it to tab; the options of those above are taken everywhere. */
function describe(
  root: RootCommand,
  command: Command,
  path: readonly string[],
  inherited: readonly Option[],
  offer: Offer,
): void {
  const target: Completed = path.length === 0 ? root : root.command(path.join(' '), command.summary());
  const options = [...inherited, ...command.createHelp().visibleOptions(command)];
  for (const option of options) addOption(target, option, offer);
  for (const argument of command.registeredArguments) {
    const kind = path[0] === 'backup' && argument.name() === 'id' ? 'backup' : byArgument[argument.name()];
    const choices = argument.argChoices ?? [];
    target.argument(
      argument.name(),
      (give) => (kind === undefined ? choices.forEach((choice) => give(choice, '')) : offer(kind, give)),
      argument.variadic,
    );
  }
  for (const child of command.commands)
    describe(
      root,
      child,
      [...path, child.name()],
      options.filter(({ long }) => long !== '--help'),
      offer,
    );
}

function addOption(target: Completed, option: Option, offer: Offer): void {
  const { long, short, description, argChoices } = option;
  if (!long) return;
  const name = long.slice(2);
  const alias = short?.slice(1);
  if (!option.required && !option.optional) {
    target.option(name, description, alias);
    return;
  }
  const kind = byOption[long];
  const give = (add: Complete): void =>
    kind === undefined ? argChoices?.forEach((choice) => add(choice, '')) : offer(kind, add);
  target.option(name, description, give, alias);
}
