import type { Command } from 'commander';

/** `docs/reference/cli.md`, from the very definitions that the command line parses with. */
export function cliReference(program: Command): string {
  const parts = [
    '# Command line',
    '',
    'Made from the code (`npm run docs`). Results go to stdout, progress and logs to stderr; `--json` gives one document with',
    '`schemaVersion`. Exit codes: 0 ok, 1 failed, 2 usage, 3 partly done, 4 configuration, 5 unreachable, 6 not found, 7 conflict or lock',
    'held, 8 a check failed, 9 refused, 124 `--timeout` passed, 130 interrupted. Which error ends in which: [errors](errors.md).',
    '',
    'A reader of a pipe that has had enough (`| head`) is no failure: a command that has its result ends with the code of that, one that',
    'would print more ends with 0 at its next line. What it has started continues.',
    '',
    '## Options of every command',
    '',
    ...optionTable(program),
  ];
  for (const command of program.commands.filter((child) => child.name() !== 'help'))
    parts.push('', ...section(command, program.name()));
  return `${parts.join('\n')}\n`;
}

function section(command: Command, parent: string): string[] {
  const path = `${parent} ${command.name()}`;
  const children = command.commands.filter((child) => child.name() !== 'help');
  if (children.length > 0)
    return [`## ${path}`, '', command.description(), ...children.flatMap((child) => ['', ...section(child, path)])];
  const level = parent.includes(' ') ? '###' : '##';
  const takes = command.registeredArguments.map(
    (argument) => `\`${argument.name()}\`${argument.description ? `: ${argument.description}` : ''}`,
  );
  return [
    `${level} ${path}`,
    '',
    command.description(),
    '',
    '```',
    `${parent} ${command.name()} ${command.usage()}`,
    '```',
    ...(takes.length > 0 ? ['', ...takes.map((line) => `- ${line}`)] : []),
    ...(command.options.length > 0 ? ['', ...optionTable(command)] : []),
    '',
    'Examples:',
    '',
    '```sh',
    ...examplesOf(command),
    '```',
  ];
}

function optionTable(command: Command): string[] {
  const rows = command.options.map(({ flags, description, mandatory, argChoices }) => {
    const choices = argChoices === undefined ? '' : ` (${argChoices.join(', ')})`;
    return `| \`${flags.replaceAll('|', '\\|')}\` | ${cell(description)}${choices}${mandatory ? ' **required**' : ''} |`;
  });
  return ['| option | |', '|---|---|', ...rows];
}

/** Examples stand in the text that follows a command's help. */
function examplesOf(command: Command): string[] {
  let after = '';
  command.configureOutput({ writeOut: (text) => void (after += text) });
  command.outputHelp();
  return after
    .split('\n')
    .filter((line) => line.startsWith('  $ '))
    .map((line) => line.slice('  $ '.length));
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}
