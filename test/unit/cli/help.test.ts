import { describe, expect, it } from '@jest/globals';
import type { Command } from 'commander';
import { buildProgram } from '../../../src/client/cli/program.js';
import { repriseHere } from '../../helpers/cli.js';

const services = new Proxy({}, { get: () => () => Promise.reject(new Error('not here')) });
const silent = { env: {}, interactive: false, live: false, columns: 100, out: () => undefined, err: () => undefined, paint: (_c: string, text: string) => text, setColor: () => undefined };
const program = buildProgram(services as never, silent as never);

function leaves(command: Command, path: readonly string[] = []): (readonly string[])[] {
  const children = command.commands.filter((child) => child.name() !== 'help');
  return children.length === 0 ? [path] : children.flatMap((child) => leaves(child, [...path, child.name()]));
}

const commands = leaves(program);

describe('the help of the command line', () => {
  it('has every command of the contract', () => {
    const wanted = [
      ...['demo', 'up', 'down', 'worker', 'doctor', 'check', 'config check', 'config show', 'config import', 'cluster list'],
      ...['backup run', 'backup list', 'backup show', 'backup verify', 'backup hold', 'backup release', 'backup adopt', 'rotate'],
      ...['schedule plan', 'schedule apply', 'schedule list', 'schedule pause', 'schedule resume', 'schedule trigger'],
      ...['recover', 'promote', 'retarget', 'continue', 'pause', 'approve', 'reject', 'kept list', 'kept drop'],
      ...['incident start', 'incident confirm', 'incident dismiss', 'incident list', 'incident show', 'incident note', 'incident report', 'incident close'],
      ...['status', 'watch', 'version'],
    ];
    expect(commands.map((path) => path.join(' '))).toEqual(expect.arrayContaining(wanted));
  });

  it.each(commands.map((path) => [path.join(' '), path] as const))('%s: two examples at least, each of which the parser takes', async (name, path) => {
    const { code, stdout } = await repriseHere([...path, '--help']);
    expect(code).toBe(0);
    const examples = stdout.split('\n').filter((line) => line.startsWith('  $ reprise ')).map((line) => line.slice('  $ reprise '.length));
    expect(examples.length).toBeGreaterThanOrEqual(2);
    for (const example of examples) {
      expect(`${example} `.startsWith(`${name} `)).toBe(true);
      const result = await repriseHere(words(example));
      // Whatever happens next: it is no error of usage.
      expect({ example, usage: result.code === 2, stderr: result.stderr }).toEqual({ example, usage: false, stderr: expect.anything() });
    }
  });
});

/** Splits as a shell does, as far as the examples need it. */
function words(line: string): string[] {
  return (line.replace(/ > \S+$/, '').match(/"[^"]*"|\S+/g) ?? []).map((word) => word.replace(/^"|"$/g, ''));
}
