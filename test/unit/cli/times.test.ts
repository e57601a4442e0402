import { describe, expect, it } from '@jest/globals';
import { timeOption, targetOption } from '../../../src/cli/common-options.js';
import { runsAtClockChanges } from '../../../src/config/schedule.js';
import { clockChanges } from '../../../src/domain/target/instant.js';
import { repriseHere, wholeProgram } from '../../helpers/cli.js';

function read(option: ReturnType<typeof timeOption>, text: string): unknown {
  return option.parseArg?.(text, undefined);
}

describe('O17: times that people write', () => {
  it('what was understood is told where it is not what was written, with the offset', () => {
    const option = timeOption('--from <time>', 'x');
    expect(read(option, '2026-11-28 14:02 Europe/Paris')).toBe('2026-11-28T13:02:00Z');
    expect(option.understood).toBe(
      '--from 2026-11-28 14:02 Europe/Paris is 2026-11-28T13:02:00Z, 14:02:00 +01:00 (Europe/Paris)',
    );
    read(option, '2026-11-28T13:02:00Z');
    expect(option.understood).toBeNull();
    read(option, '-10min');
    expect(option.understood).toMatch(/^--from -10min is \d{4}-.*Z/);
  });

  it('a target that is no time needs no telling', () => {
    const option = targetOption();
    expect(read(option, 'latest')).toEqual({ kind: 'latest' });
    expect(option.understood).toBeNull();
    expect(read(option, '2026-07-14 12:00 Europe/Paris')).toEqual({ kind: 'time', time: '2026-07-14T10:00:00Z' });
    expect(option.understood).toContain('12:00:00 +02:00 (Europe/Paris)');
  });

  it('F26: every option of every command that takes a time refuses a change of clocks with both readings', () => {
    const seen: string[] = [];
    const visit = (command: ReturnType<typeof wholeProgram>, path: string): void => {
      for (const option of command.options) {
        if (!/<(time|target)>/.test(option.flags)) continue;
        seen.push(`${path} ${option.long}`);
        for (const [text, why] of [
          ['2026-03-29 02:30 Europe/Paris', 'did not exist'],
          ['2026-10-25 02:30 Europe/Paris', 'happened twice'],
        ] as const) {
          expect(() => option.parseArg?.(text, undefined)).toThrow(
            expect.objectContaining({
              code: 'target-ambiguous',
              message: expect.stringContaining(why),
              hint: expect.stringMatching(/\+01:00.*\+02:00|\+02:00.*\+01:00/),
            }),
          );
        }
        expect(JSON.stringify(option.parseArg?.('2026-11-28 14:02 Europe/Paris', undefined))).toContain(
          '2026-11-28T13:02:00Z',
        );
      }
      for (const child of command.commands) visit(child, `${path} ${child.name()}`);
    };
    visit(wholeProgram(), 'reprise');
    expect(seen.toSorted()).toEqual(
      expect.arrayContaining([
        'reprise backup hold --until',
        'reprise recover --to',
        'reprise retarget --to',
        'reprise schedule backfill --from',
        'reprise schedule backfill --to',
      ]),
    );
  });

  it('changes of clocks are found to the minute', () => {
    const changes = clockChanges('Europe/Paris', new Date('2026-01-01T00:00:00Z'), 365);
    expect(changes.map(({ at, before, after }) => [new Date(at).toISOString(), before, after])).toEqual([
      ['2026-03-29T01:00:00.000Z', 60, 120],
      ['2026-10-25T01:00:00.000Z', 120, 60],
    ]);
    expect(runsAtClockChanges('30 2 * * *', changes)).toEqual({ leftOut: ['2026-03-29'], twice: ['2026-10-25'] });
    expect(runsAtClockChanges('30 3 * * *', changes)).toEqual({ leftOut: [], twice: [] });
  });
});

it.each([['--version'], ['--version', '--json'], ['-o', 'json', '--version'], ['backup', 'list', '--version']])(
  'O16: %j prints the version',
  async (...argv) => {
    const { code, stdout } = await repriseHere(argv);
    expect([code, stdout]).toEqual([0, expect.stringContaining('0.0.0-test')]);
  },
);
