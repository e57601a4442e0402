import { describe, expect, it } from '@jest/globals';
import type { Command } from 'commander';
import { repriseHere, wholeProgram } from '../../helpers/cli.js';
import { golden } from '../../helpers/golden.js';
import { section } from '../../helpers/shape.js';

const file = new URL('help.golden.txt', import.meta.url);

/** Every command and group of commands, also those that no help lists. */
function paths(command: Command, path: readonly string[] = []): (readonly string[])[] {
  const children = command.commands.filter((child) => child.name() !== 'help');
  return [path, ...children.flatMap((child) => paths(child, [...path, child.name()]))];
}

describe('the command line keeps its words', () => {
  it('every command has the arguments, options, defaults and examples that its help has always shown', async () => {
    const texts: string[] = [];
    for (const path of paths(wholeProgram())) {
      const { code, stdout, stderr } = await repriseHere([...path, '--help']);
      expect({ path, code, stderr }).toEqual({ path, code: 0, stderr: '' });
      texts.push(section(['=== reprise', ...path, '--help'].join(' '), stdout.trimEnd().split('\n')));
    }
    const made = texts.toSorted().join('\n');
    expect(made).toBe(await golden(file, made));
  });

  it('every command has the flags, short names and aliases that the parser has always taken', async () => {
    const lines = paths(wholeProgram()).map((path) =>
      section(['reprise', ...path].join(' '), takes(find(wholeProgram(), path))),
    );
    const made = lines.toSorted().join('');
    expect(made).toBe(await golden(new URL('flags.golden.txt', import.meta.url), made));
  });
});

function find(program: Command, path: readonly string[]): Command {
  return path.reduce((command, name) => command.commands.find((child) => child.name() === name) ?? command, program);
}

function takes(command: Command): string[] {
  const args = command.registeredArguments.map(
    (argument) =>
      `argument ${argument.name()}${argument.required ? '' : ' (optional)'}${argument.variadic ? ' (many)' : ''}${choices(argument.argChoices)}`,
  );
  const aliases = command.aliases().map((alias) => `alias ${alias}`);
  const options = command.options.map(
    (option) =>
      `option ${option.flags}${option.mandatory ? ' (must be given)' : ''}${option.hidden ? ' (hidden)' : ''}${choices(option.argChoices)}`,
  );
  return [...args, ...aliases, ...options.toSorted()];
}

function choices(of: readonly string[] | undefined): string {
  return of === undefined ? '' : ` one of ${of.join(', ')}`;
}
