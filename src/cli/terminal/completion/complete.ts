import { RootCommand } from '@bomb.sh/tab';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command as Completed, Complete } from '@bomb.sh/tab';
import type { Command, Option } from 'commander';
import type { Cli } from '../../cli-context.js';
import { namesFor, refreshNames } from './names.js';
import type { NameKind, Names } from './names.js';
import { wantedByArgument, wantedByOption } from './wanted.js';
import type { Wanted } from './wanted.js';
import { REFRESH_MS } from './cache.js';
import type { Candidate } from './cache.js';
import { printed } from './capture-output.js';

/** There is nothing to offer, and no file names either (a directive of tab). */
const NOTHING = ':4';

/**
 * Answers a shell, in the protocol of tab's scripts: a line for each candidate, then a directive. `words` are those
 * typed after `reprise`, the last one being completed. Nothing but candidates is ever printed.
 */
export async function complete(program: Command, cli: Cli, words: readonly string[]): Promise<string> {
  try {
    program.parseOptions([...words]);
    cli.globals = program.opts();
    // First to learn which names are wanted: only those are looked up.
    const kinds = new Set<NameKind>();
    const first = answer(program, words, ({ kind }) => void kinds.add(kind));
    if (kinds.size === 0) return first;
    const names: Names = await namesFor(new Set([...kinds, ...withCluster(kinds)]), cli);
    const typed = new Set(words.slice(0, -1));
    const clusters = new Set((names.get('cluster') ?? []).map(({ name }) => name).filter((name) => typed.has(name)));
    return answer(program, words, ({ kind, accepts }, offer) => {
      // Where a cluster was named, what is of another one is not meant.
      const isMeant = ({ cluster }: Candidate): boolean =>
        clusters.size === 0 || cluster === undefined || clusters.has(cluster);
      const found = (names.get(kind) ?? []).filter((one) => isMeant(one) && (accepts?.(one) ?? true));
      for (const name of new Set(found.map((one) => one.name))) offer(name, '');
    });
  } catch {
    return NOTHING;
  }
}

/** What a process does that completion has started: `words` are the kinds to ask for, and the options to find the server. */
export async function refresh(program: Command, cli: Cli, [kinds = '', ...words]: readonly string[]): Promise<void> {
  program.parseOptions([...words]);
  cli.globals = program.opts();
  // The process ends with it, whatever does not answer.
  const late = sleep(REFRESH_MS, undefined, { ref: false });
  await Promise.race([refreshNames(cli, kinds.split(',')).catch(() => undefined), late]);
}

/** Kinds whose names belong to a cluster, which may have been typed already. */
function withCluster(kinds: ReadonlySet<NameKind>): readonly NameKind[] {
  return ['policy', 'database', 'table', 'invariant', 'target'].some((kind) => kinds.has(kind as NameKind))
    ? ['cluster']
    : [];
}

type Offer = (wanted: Wanted, offer: Complete) => void;

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
  for (const option of options) addOption(target, path, option, offer);
  for (const argument of command.registeredArguments) {
    const wanted = wantedByArgument(path, argument.name());
    const choices = argument.argChoices ?? [];
    target.argument(
      argument.name(),
      (give) => (wanted === undefined ? choices.forEach((choice) => give(choice, '')) : offer(wanted, give)),
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

function addOption(target: Completed, path: readonly string[], option: Option, offer: Offer): void {
  const { long, short, description, argChoices } = option;
  if (!long) return;
  const name = long.slice(2);
  const alias = short?.slice(1);
  if (!option.required && !option.optional) {
    target.option(name, description, alias);
    return;
  }
  const wanted = wantedByOption(path, long);
  const give = (add: Complete): void =>
    wanted === undefined ? argChoices?.forEach((choice) => add(choice, '')) : offer(wanted, add);
  target.option(name, description, give, alias);
}
