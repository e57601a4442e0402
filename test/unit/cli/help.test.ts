import { describe, expect, it } from '@jest/globals';
import type { Command } from 'commander';
import { repriseHere, wholeProgram, words } from '../../helpers/cli.js';

const program = wholeProgram();

function leaves(command: Command, path: readonly string[] = []): (readonly string[])[] {
  const children = command.commands.filter((child) => child.name() !== 'help');
  return children.length === 0 ? [path] : children.flatMap((child) => leaves(child, [...path, child.name()]));
}

const commands = leaves(program);

describe('the help of the command line', () => {
  it('has every command of the contract', () => {
    const wanted = [
      ...[
        'demo',
        'up',
        'down',
        'worker',
        'doctor',
        'check',
        'config check',
        'config show',
        'config import',
        'cluster list',
      ],
      ...[
        'backup run',
        'backup list',
        'backup show',
        'backup verify',
        'backup hold',
        'backup release',
        'backup adopt',
        'rotate',
      ],
      ...['schedule plan', 'schedule apply', 'schedule list', 'schedule pause', 'schedule resume', 'schedule trigger'],
      ...['recover', 'promote', 'retarget', 'continue', 'pause', 'approve', 'reject', 'kept list', 'kept drop'],
      ...[
        'incident start',
        'incident confirm',
        'incident dismiss',
        'incident list',
        'incident show',
        'incident note',
        'incident report',
        'incident close',
      ],
      ...['status', 'watch', 'version'],
    ];
    expect(commands.map((path) => path.join(' '))).toEqual(expect.arrayContaining(wanted));
  });

  it.each(commands.map((path) => [path.join(' '), path] as const))(
    '%s: two examples at least, each of which the parser takes',
    async (name, path) => {
      const { code, stdout } = await repriseHere([...path, '--help']);
      expect(code).toBe(0);
      const examples = stdout
        .split('\n')
        .filter((line) => line.startsWith('  $ reprise '))
        .map((line) => line.slice('  $ reprise '.length));
      expect(examples.length).toBeGreaterThanOrEqual(2);
      for (const example of examples) {
        expect(`${example} `.startsWith(`${name} `)).toBe(true);
        const result = await repriseHere(words(example));
        // Whatever happens next: it is no error of usage.
        expect({ example, usage: result.code === 2, stderr: result.stderr }).toEqual({
          example,
          usage: false,
          stderr: expect.anything(),
        });
      }
    },
  );
});
