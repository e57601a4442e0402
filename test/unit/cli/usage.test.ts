import { describe, expect, it } from '@jest/globals';
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { formatTableName, tableCommand } from '../../../src/domain/table/table-name.js';
import { repriseHere } from '../../helpers/cli.js';

interface Told {
  error: { code: string; message: string; hint: string };
}
const told = (stderr: string): Told['error'] => (JSON.parse(stderr) as Told).error;

describe('errors of usage', () => {
  it.each([
    [['bakup', 'list'], 'did you mean backup?'],
    [['backup', 'lst'], 'did you mean list?'],
    [['backup', 'run', 'mairie', '--polcy', 'x'], 'did you mean --policy?'],
  ])('%j exits 2 and suggests what was meant', async (argv, suggestion) => {
    const { code, stdout, stderr } = await repriseHere(argv);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toContain(suggestion);
  });

  it.each([
    [['bakup', '--help'], 'did you mean backup?'],
    [['--json', 'bakup', '-h'], 'did you mean backup?'],
    [['backup', 'lst', '--help'], 'did you mean list?'],
    [['help', 'bakup'], 'did you mean backup?'],
    [['help', 'backup', 'lst'], 'did you mean list?'],
  ])(
    'O16: %j asks for the help of a command that there is not: exit 2, and what was meant',
    async (argv, suggestion) => {
      const { code, stdout, stderr } = await repriseHere(argv);
      expect([code, stdout]).toEqual([2, '']);
      expect(stderr).toContain(suggestion);
    },
  );

  it('O16: help of a command that there is, in every spelling, is printed with exit 0', async () => {
    const spellings = [
      ['backup', 'list', '--help'],
      ['--address', 'x:1', 'backup', 'list', 'mairie', '-h'],
      ['backup', 'help', 'list'],
    ];
    for (const argv of spellings) {
      const { code, stdout } = await repriseHere(argv);
      expect([code, stdout]).toEqual([0, expect.stringContaining('reprise backup list')]);
    }
    const root = await repriseHere(['help', 'backup']);
    expect([root.code, root.stdout]).toEqual([0, expect.stringContaining('Usage: reprise backup')]);
  });

  it('O16: what may be typed is said so that a shell runs none of it as a pipe', async () => {
    const file = fileURLToPath(new URL('../../../examples/mairie.yml', import.meta.url));
    const { code, stderr } = await repriseHere(['rotate', 'mairie', '--config', file, '--json']);
    expect(code).toBe(2);
    expect(told(stderr).hint).toMatch(/^name one: --policy \S+(, or --policy \S+)+$/);
  });

  it('O16: a command that is printed for a person works when it is pasted, whatever a database and a table are called', async () => {
    const file = fileURLToPath(new URL('../../../examples/mairie.yml', import.meta.url));
    const odd = [
      '-rf',
      '--json',
      '=ls',
      "it's",
      '$(id) `id` !!',
      'a\nb\tc\u0085',
      '\\n',
      'é "q" *',
      '',
      '~',
      'x=1',
      'postgres://h/d',
    ];
    const table = { schema: '-s', table: odd[5] ?? '' };
    for (const database of odd) {
      const printed = tableCommand('blast-radius', { cluster: 'mairie', database, table }, '--xid 1234');
      const { stdout } = await promisify(execFile)('bash', ['-c', `reprise() { printf '%s\\0' "$@"; }; ${printed}`]);
      const argv = stdout.split('\0').slice(0, -1);
      expect(argv).toEqual(expect.arrayContaining(['mairie', database, formatTableName(table), '--xid', '1234']));
      if (!['-rf', '--json', '=ls'].includes(database)) continue;
      // It is understood: only the Temporal server is missing.
      const { code, stderr } = await repriseHere(['--config', file, '--address', '127.0.0.1:1', '--json', ...argv]);
      expect([database, code, told(stderr).code]).toEqual([database, 5, 'temporal-unreachable']);
    }
  });

  it.each([
    [['--at', 'newest'], 2, 'it is latest, random, or a time: --at 2026-11-21T02:15:00Z'],
    [['--engine', 'pgbackrst'], 6, expect.stringContaining('did you mean "pgbackrest"?')],
  ])('P4: drill run %j is refused before a drill waits for a worker', async (options, exit, hint) => {
    const file = fileURLToPath(new URL('../../../examples/drill.yml', import.meta.url));
    const argv = ['drill', 'run', 'mairie', ...options, '--config', file, '--address', '127.0.0.1:1', '--json'];
    const { code, stderr } = await repriseHere(argv);
    expect([code, told(stderr).hint]).toEqual([exit, hint]);
  });

  it.each([
    ['bad-migration', '--at'],
    ['table-corruption', '--found-at'],
  ])('K5: an incident %s whose %s is in the future is refused before it is opened', async (scenario, option) => {
    const file = fileURLToPath(new URL('../../../examples/mairie.yml', import.meta.url));
    const table = scenario === 'bad-migration' ? [] : ['--table', 'metier.demandes_rdv'];
    const named = ['--cluster', 'mairie', '--database', 'mairie', ...table, option, '2126-11-21T02:15:00Z'];
    const argv = ['incident', 'start', scenario, ...named, '--config', file, '--address', '127.0.0.1:1', '--json'];
    const { code, stderr } = await repriseHere(argv);
    expect([code, told(stderr).code]).toEqual([2, 'usage']);
  });

  it.each([
    ['a transaction that is no number', ['table', 'repair', '--xid', 'abc']],
    ['a transaction before the first', ['table', 'repair', '--xid', '2']],
    ['a transaction of more than 64 bits', ['table', 'blast-radius', '--xid', '99999999999999999999']],
    ['batches that are too small', ['table', 'repair', '--xid', '1234', '--batch-rows', '0']],
    ['more samples than are kept', ['table', 'compare', '--to', 'xid:1234', '--samples', '10001']],
  ])('T6: %s is refused before a workflow is started', async (_what, [group = '', command = '', ...options]) => {
    const file = fileURLToPath(new URL('../../../examples/mairie.yml', import.meta.url));
    const argv = [group, command, 'mairie', 'mairie', 'metier.demandes_rdv', ...options, '--config', file];
    const { code, stderr } = await repriseHere([...argv, '--address', '127.0.0.1:1', '--json']);
    expect([code, told(stderr).code]).toEqual([2, 'usage']);
  });

  it('M3: a time that is still to come, without an end, is told as such', async () => {
    const file = fileURLToPath(new URL('../../../examples/mairie.yml', import.meta.url));
    const argv = ['wal', 'transactions', 'mairie', '--from', '2999-01-01T00:00:00Z', '--config', file, '--json'];
    const { code, stderr } = await repriseHere(argv);
    expect([code, told(stderr).message]).toEqual([2, expect.stringContaining('is still to come')]);
  });

  it.each([
    ['a missing argument', ['backup', 'run']],
    ['a missing option', ['reject', 'recover/mairie/1']],
    ['one argument too many', ['rotate', 'mairie', 'other']],
    ['a choice that is none', ['backup', 'run', 'mairie', '--type', 'half']],
    ['a duration without a unit', ['backup', 'run', 'mairie', '--timeout', '90']],
    ['no command', ['backup']],
    ['a target that is none', ['recover', 'mairie', '--to', 'yesterday']],
  ])('%s is one JSON document on stderr, with a next step, and exit 2', async (_what, argv) => {
    const { code, stdout, stderr } = await repriseHere([...argv, '--json']);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(told(stderr)).toEqual({
      code: expect.stringMatching(/^(usage|target-invalid)$/),
      message: expect.stringMatching(/\S/),
      hint: expect.stringMatching(/\S/),
    });
  });

  it('F26: a target without an offset is refused (exit 9) and shows the readings', async () => {
    const { code, stderr } = await repriseHere(['recover', 'mairie', '--to', '2026-03-29T02:30:00', '--json']);
    expect(code).toBe(9);
    expect(told(stderr)).toMatchObject({
      code: 'target-ambiguous',
      hint: expect.stringContaining('2026-03-29T02:30:00Z'),
    });
  });

  it('global options are taken before and after the command', async () => {
    const before = await repriseHere(['--json', 'version']);
    const after = await repriseHere(['version', '--json']);
    const spelt = await repriseHere(['version', '-o', 'json']);
    expect(before).toEqual(after);
    expect(after).toEqual(spelt);
    expect(JSON.parse(after.stdout)).toEqual({ schemaVersion: 1, version: '0.0.0-test' });
  });

  it('a configuration that is not there is exit 4, in the format asked for', async () => {
    const { code, stderr } = await repriseHere(['cluster', 'list', '-o', 'yaml']);
    expect(code).toBe(4);
    expect(stderr).toMatch(/^error:\n {2}code: config-not-found\n/);
  });

  it('an unexpected failure is told with a next step and exit 1', async () => {
    const version = (): Promise<string> => Promise.reject(new Error('the disk is on fire'));
    const { code, stderr } = await repriseHere(['version'], {}, { version });
    expect(code).toBe(1);
    expect(stderr).toBe(
      'error: the disk is on fire (internal)\nHINT: this is not expected: run again with REPRISE_DEBUG=1 for the stack, and report it\n',
    );
  });
});
