import { describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { facts, instant, table } from '../../../src/cli/terminal/tables.js';
import { formatFromArgv, printResult } from '../../../src/cli/terminal/output.js';
import { progressLine } from '../../../src/cli/terminal/progress.js';
import type { Terminal } from '../../../src/cli/terminal/terminal.js';
import type { StatusView } from '../../../src/client/status.js';

function recorder(): { terminal: Terminal; out: () => string } {
  let text = '';
  const terminal = { out: (more: string) => (text += more) } as unknown as Terminal;
  return { terminal, out: () => text };
}

describe('results on stdout', () => {
  const document = { backups: [{ id: 'mairie:logical:x' }] };

  it('carry schemaVersion 1 in JSON and YAML', async () => {
    const json = recorder();
    await printResult(json.terminal, 'json', document, () => 'text');
    expect(JSON.parse(json.out())).toEqual({ schemaVersion: 1, ...document });
    const yaml = recorder();
    await printResult(yaml.terminal, 'yaml', document, () => 'text');
    expect(parse(yaml.out())).toEqual({ schemaVersion: 1, ...document });
  });

  it('U7: what is not seen stands in YAML by its escape, and means what it meant', async () => {
    const hostile = { name: 'a\u202eb', note: 'x\x1b[31m\u2028y\nz', 'k\u200bey': '😀' };
    const yaml = recorder();
    await printResult(yaml.terminal, 'yaml', hostile, () => 'text');
    // eslint-disable-next-line no-control-regex
    expect(yaml.out()).not.toMatch(/[\x1b\u202e\u2028\u200b]/);
    expect(parse(yaml.out())).toEqual({ schemaVersion: 1, ...hostile });
  });

  it('are text for people otherwise, ended by one newline', async () => {
    const plain = recorder();
    await printResult(plain.terminal, 'table', document, () => 'text');
    expect(plain.out()).toBe('text\n');
  });

  it('of a stream are one JSON document a line', async () => {
    const stream = recorder();
    await printResult(stream.terminal, 'json', { a: 1 }, () => '', { stream: true });
    await printResult(stream.terminal, 'json', { a: 2 }, () => '', { stream: true });
    expect(
      stream
        .out()
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual([
      { schemaVersion: 1, a: 1 },
      { schemaVersion: 1, a: 2 },
    ]);
  });
});

describe('the format asked for, known before parsing', () => {
  it.each([
    [['x', '--json'], 'json'],
    [['-o', 'yaml', 'x'], 'yaml'],
    [['-ojson'], 'json'],
    [['--output=json'], 'json'],
    [['x', '--', '--json'], 'table'],
    [['x'], 'table'],
  ])('%j is %s', (argv, format) => {
    expect(formatFromArgv(argv)).toBe(format);
  });
});

describe('text for people', () => {
  it('F35: a name with escape sequences and newlines cannot write on the terminal', () => {
    const evil = 'mairie\x1b[2J\nerror: all is lost';
    for (const text of [table(['name'], [[evil]]), facts([['name', evil]])]) {
      expect(text).not.toContain('\x1b');
      expect(text.split('\n').length).toBeLessThanOrEqual(2);
    }
  });

  it('aligns columns and shows instants to the second', () => {
    expect(
      table(
        ['id', 'at'],
        [
          ['a', instant('2026-11-21T02:15:00.123Z')],
          ['long', instant(null)],
        ],
      ),
    ).toBe('ID    AT\na     2026-11-21T02:15:00Z\nlong  -');
  });

  it('shows progress with amounts, share and what is left', () => {
    const view = {
      workflowId: 'backup/mairie/x',
      state: 'running',
      phase: 'back up',
      progress: { done: 400_000_000, total: 1_000_000_000, unit: 'bytes', etaSeconds: 125 },
      retrying: null,
    };
    expect(progressLine(view as StatusView)).toBe(
      'backup/mairie/x  running: back up, 40 % (400.0 MB of 1.0 GB), about 2 min 05 s left',
    );
  });
});
