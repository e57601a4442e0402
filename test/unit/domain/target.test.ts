import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { formatTarget, parseTarget } from '../../../src/domain/target/target.js';
import type { RepriseError } from '../../../src/domain/errors.js';

function refusal(text: string, zone?: string): RepriseError {
  try {
    parseTarget(text, zone);
  } catch (error) {
    return error as RepriseError;
  }
  throw new Error(`'${text}' was accepted`);
}

describe('recovery targets', () => {
  it('reads every form of the command line, and writes it again', () => {
    for (const text of [
      'latest',
      'end-of-backup',
      'lsn:0/16B3740',
      'xid:734',
      'name:avant migration',
      'backup:mairie:logical:mairie_full_20261121_021500',
      '2026-11-21T02:15:00Z',
    ]) {
      expect(formatTarget(parseTarget(text))).toBe(text);
    }
    expect(parseTarget(' lsn:00/016b3740 ')).toEqual({ kind: 'lsn', lsn: '0/16B3740' });
    expect(parseTarget('xid:007')).toEqual({ kind: 'xid', xid: '7' });
    expect(parseTarget('name:a:b')).toEqual({ kind: 'name', name: 'a:b' });
  });

  it('times become UTC and keep microseconds', () => {
    const time = (text: string): unknown => parseTarget(text);
    expect(time('2026-11-21T03:15:00+01:00')).toEqual({ kind: 'time', time: '2026-11-21T02:15:00Z' });
    expect(time('2026-11-21 03:15:00.123456+01')).toEqual({ kind: 'time', time: '2026-11-21T02:15:00.123456Z' });
    expect(time('2026-11-21 02:15 UTC')).toEqual({ kind: 'time', time: '2026-11-21T02:15:00Z' });
    expect(time('2026-01-01T00:30:00+0530')).toEqual({ kind: 'time', time: '2025-12-31T19:00:00Z' });
  });

  it('any instant in any offset is the same instant', () => {
    const year = { min: new Date('2000-01-01T00:00:00Z'), max: new Date('2099-12-31T00:00:00Z'), noInvalidDate: true };
    fc.assert(
      fc.property(fc.date(year), fc.integer({ min: -12 * 60, max: 14 * 60 }), (date, minutes) => {
        const whole = new Date(Math.floor(date.getTime() / 1000) * 1000);
        const wall = new Date(whole.getTime() + minutes * 60_000).toISOString().slice(0, 19);
        const offset = `${minutes < 0 ? '-' : '+'}${String(Math.floor(Math.abs(minutes) / 60)).padStart(2, '0')}:${String(Math.abs(minutes) % 60).padStart(2, '0')}`;
        expect(parseTarget(wall + offset)).toEqual({ kind: 'time', time: `${whole.toISOString().slice(0, 19)}Z` });
      }),
    );
  });

  it('F26: a time without an offset is refused, with what to write', () => {
    const error = refusal('2026-11-21 02:15');
    expect(error.code).toBe('target-ambiguous');
    expect(error.hint).toContain('2026-11-21T02:15:00Z');
    expect(refusal('2026-11-21 02:15', 'Europe/Paris').hint).toContain(
      '2026-11-21T02:15:00+01:00 (2026-11-21T01:15:00Z, Europe/Paris)',
    );
    expect(refusal('2026-11-21').hint).toContain('2026-11-21T00:00:00Z');
  });

  it('F26: an hour that does not exist (Europe/Paris, clocks set forward) is refused with both readings', () => {
    for (const error of [refusal('2026-03-29 02:30 Europe/Paris'), refusal('2026-03-29T02:30:00', 'Europe/Paris')]) {
      expect(error.code).toBe('target-ambiguous');
      expect(error.hint).toContain('2026-03-29T02:30:00+01:00 (2026-03-29T01:30:00Z, Europe/Paris)');
      expect(error.hint).toContain('2026-03-29T02:30:00+02:00 (2026-03-29T00:30:00Z, Europe/Paris)');
    }
    expect(refusal('2026-03-29 02:30 Europe/Paris').message).toContain('did not exist');
  });

  it('F26: an hour that happened twice is refused with both readings', () => {
    const error = refusal('2026-10-25 02:30 Europe/Paris');
    expect(error.message).toContain('happened twice');
    expect(error.hint).toContain('2026-10-25T02:30:00+02:00 (2026-10-25T00:30:00Z, Europe/Paris)');
    expect(error.hint).toContain('2026-10-25T02:30:00+01:00 (2026-10-25T01:30:00Z, Europe/Paris)');
  });

  it('O17: a time of a named zone is that instant, in summer and in winter', () => {
    expect(parseTarget('2026-07-14 12:00 Europe/Paris')).toEqual({ kind: 'time', time: '2026-07-14T10:00:00Z' });
    expect(parseTarget('2026-11-28 14:02 Europe/Paris')).toEqual({ kind: 'time', time: '2026-11-28T13:02:00Z' });
    expect(parseTarget('2026-11-28T14:02:03.123456 America/Argentina/Buenos_Aires')).toEqual({
      kind: 'time',
      time: '2026-11-28T17:02:03.123456Z',
    });
  });

  it('O17: a time before now counts from now, to the second; without a now it is refused', () => {
    const now = new Date('2026-11-21T02:15:00.750Z');
    const at = (text: string): unknown => parseTarget(text, 'Europe/Paris', now);
    expect(at('-10min')).toEqual({ kind: 'time', time: '2026-11-21T02:05:00Z' });
    expect(at('-90s')).toEqual({ kind: 'time', time: '2026-11-21T02:13:30Z' });
    expect(at(' - 2 hours ')).toEqual({ kind: 'time', time: '2026-11-21T00:15:00Z' });
    expect(at('-1d')).toEqual({ kind: 'time', time: '2026-11-20T02:15:00Z' });
    expect(at('+5m')).toEqual({ kind: 'time', time: '2026-11-21T02:20:00Z' });
    for (const text of ['-10', '-min', '-10 parsecs', '-0min', `-${'9'.repeat(40)}d`])
      expect(() => at(text)).toThrow(expect.objectContaining({ code: expect.stringMatching(/^(target-invalid)$/) }));
    expect(refusal('-10min').code).toBe('target-invalid');
  });

  it('refuses what is no target with what to write instead', () => {
    const bad = [
      '',
      'now',
      'latest:1',
      'lsn:16B3740',
      'lsn:0/123456789',
      'xid:2',
      'xid:-7',
      'xid:18446744073709551616',
      'name:',
      'name:a\nb',
      `name:${'é'.repeat(32)}`,
    ];
    bad.push(
      'backup:',
      '2026-02-30T00:00:00Z',
      '2026-11-21T24:00:00Z',
      '2026-11-21T02:60:00Z',
      '2026-11-21T02:15:00+19:00',
      '2026-11-21T02:15:00 Mars/Olympus',
    );
    for (const text of bad) {
      const error = refusal(text);
      expect([text, error.code]).toEqual([text, 'target-invalid']);
      expect(error.hint).toMatch(/^[A-Z].*\.$/s);
    }
    expect(parseTarget(`name:${'é'.repeat(31)}`)).toMatchObject({ kind: 'name' });
  });
});
