import { describe, expect, it } from '@jest/globals';
import { nagiosLine } from '../../../src/cli/terminal/nagios.js';
import type { Finding } from '../../../src/domain/findings.js';
import { repriseHere } from '../../helpers/cli.js';

const finding = (level: Finding['level'], message: string): Finding => ({
  check: 'x',
  level,
  message,
  fix: level === 'ok' ? null : 'do it',
});
const figures = [{ name: "mairie/l'été a=b", seconds: 10.4, warn: 20.6, crit: 30 }];

describe('check --nagios', () => {
  it('one line, the worst first, performance data after the only pipe', () => {
    const { line, exitCode } = nagiosLine({
      findings: [finding('ok', 'fine'), finding('warning', 'late | by\nmuch'), finding('problem', 'gone')],
      figures,
    });
    expect({ line, exitCode }).toEqual({
      line: "REPRISE CRITICAL - gone; late / by much | 'mairie/l''été a-b'=10s;21;30;0",
      exitCode: 2,
    });
  });

  it.each([
    [[finding('warning', 'late')], 'REPRISE WARNING - late', 1],
    [[finding('ok', 'fine')], 'REPRISE OK - nothing is wrong', 0],
    [['a', 'b', 'c', 'd', 'e'].map((text) => finding('problem', text)), 'REPRISE CRITICAL - a; b; c; and 2 more', 2],
  ])('%j', (findings, line, exitCode) => {
    expect(nagiosLine({ findings, figures: [] })).toEqual({ line, exitCode });
  });

  it('without limits the fields stay empty', () => {
    expect(nagiosLine({ findings: [], figures: [{ name: 'mairie/p age', seconds: 5 }] }).line).toBe(
      "REPRISE OK - 1 newest backup, the oldest of them 5 s old | 'mairie/p age'=5s;;;0",
    );
  });

  it.each([
    ['a configuration that is not there', ['check', '--nagios']],
    ['a flag that is none', ['check', '--nagios', '--bogus']],
    ['one argument too many', ['check', 'a', 'b', '--nagios']],
  ])('%s is UNKNOWN: exit 3, one line on stdout, nothing on stderr', async (_what, argv) => {
    const { code, stdout, stderr } = await repriseHere(argv);
    expect({ code, stderr }).toEqual({ code: 3, stderr: '' });
    expect(stdout).toMatch(/^REPRISE UNKNOWN - [^|\n]+\n$/);
  });

  it('--help is help', async () => {
    expect(await repriseHere(['check', '--nagios', '--help'])).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('Usage:'),
    });
  });
});
