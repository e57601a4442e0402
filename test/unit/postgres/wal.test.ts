import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  compareLsn,
  formatLsn,
  missingSegments,
  nextSegment,
  parseLsn,
  parseSegmentName,
  parseTimelineHistory,
  recordEnd,
  segmentAt,
  segmentBefore,
  segmentEnd,
  segmentName,
  segmentStart,
} from '../../../src/domain/target/wal.js';

const position = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
const segmentBytes = fc.constantFrom(1, 16, 64, 1024).map((mebibytes) => mebibytes * 1024 * 1024);
const timeline = fc.integer({ min: 1, max: 0xffff_ffff });

describe('WAL positions', () => {
  it('reads what it writes, and orders as numbers do', () => {
    fc.assert(fc.property(position, (p) => parseLsn(formatLsn(p)) === p));
    fc.assert(
      fc.property(
        position,
        position,
        (a, b) => Math.sign(compareLsn(formatLsn(a), formatLsn(b))) === (a < b ? -1 : a > b ? 1 : 0),
      ),
    );
    expect(compareLsn('0/16b3740', '00/016B3740')).toBe(0);
    expect(() => parseLsn('0/')).toThrow(RangeError);
    expect(() => parseLsn('123')).toThrow(RangeError);
  });
});

describe('WAL segments', () => {
  it('names are those of pg_walfile_name', () => {
    // Figures of a real server: pg_walfile_name('0/2000090'), and one with 16 MB segments beyond 4 GB.
    expect(segmentAt(1, '0/2000090')).toBe('000000010000000000000002');
    expect(segmentAt(2, '1/FF000000')).toBe('0000000200000001000000FF');
    expect(nextSegment('0000000200000001000000FF')).toBe('000000020000000200000000');
    expect(segmentBefore(1, '0/2000000')).toBe('000000010000000000000001');
    expect(segmentStart('000000010000000000000002')).toBe('0/2000000');
    expect(segmentEnd('000000010000000000000002')).toBe('0/3000000');
  });

  it('a position lies in its segment, for every segment size', () => {
    fc.assert(
      fc.property(
        position.filter((p) => p < (1n << 64n) - (1n << 30n)),
        timeline,
        segmentBytes,
        (p, tli, size) => {
          const name = segmentAt(tli, formatLsn(p), size);
          const parsed = parseSegmentName(name, size);
          return (
            segmentName(parsed, size) === name &&
            parsed.timeline === tli &&
            parseLsn(segmentStart(name, size)) <= p &&
            p < parseLsn(segmentEnd(name, size)) &&
            segmentStart(nextSegment(name, size), size) === segmentEnd(name, size)
          );
        },
      ),
    );
  });

  it('F23: every hole between two segments is named, and nothing else', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 600 }), fc.uniqueArray(fc.integer({ min: 0, max: 40 })), (first, holes) => {
        const name = (number: number): string => segmentName({ timeline: 1, number: BigInt(first + number) });
        const all = Array.from({ length: 41 }, (_, number) => name(number));
        const present = all.filter((_, number) => !holes.includes(number));
        expect(missingSegments(present, name(0), name(40))).toEqual(holes.sort((a, b) => a - b).map(name));
      }),
    );
  });

  it('F23: after a change of timeline the segment of the switch is read from the new one', () => {
    const history = parseTimelineHistory(
      '1\t0/3000098\tno recovery target specified\n\n# comment\n2\t0/6000000\tat restore point\n',
    );
    expect(history).toEqual([
      { timeline: 1, switchLsn: '0/3000098' },
      { timeline: 2, switchLsn: '0/6000000' },
    ]);
    const path = [
      '000000010000000000000002',
      '000000020000000000000003',
      '000000020000000000000004',
      '000000020000000000000005',
      '000000030000000000000006',
    ];
    expect(missingSegments(path, '000000010000000000000002', '000000030000000000000006', { history })).toEqual([]);
    const old = path.map((name) => (name === '000000020000000000000003' ? '000000010000000000000003' : name));
    expect(missingSegments(old, '000000010000000000000002', '000000030000000000000006', { history })).toEqual([
      '000000020000000000000003',
    ]);
  });
});

describe('end of a record', () => {
  it('is the aligned end within a page, and skips page headers', () => {
    expect(recordEnd('0/2000068', 34)).toBe('0/2000090');
    // 8 bytes fit on the page, 32 follow the next page's short header.
    expect(recordEnd('0/2001FF8', 40)).toBe('0/2002038');
    // The same at the end of a segment, whose first page has the long header.
    expect(recordEnd('0/2FFFFF8', 40)).toBe('0/3000048');
    expect(recordEnd('0/2001FE0', 32)).toBe('0/2002000');
  });

  it('never lies within a page header, and grows by the length and the headers passed', () => {
    fc.assert(
      fc.property(fc.integer({ min: 5, max: 1_000_000 }), fc.integer({ min: 24, max: 200_000 }), (eighths, length) => {
        const start = BigInt(eighths) * 8n;
        const inPage = start % 8192n;
        fc.pre(inPage >= 40n);
        const end = parseLsn(recordEnd(formatLsn(start), length));
        const aligned = (BigInt(length) + 7n) & ~7n;
        const pages = (end - 1n) / 8192n - start / 8192n;
        const segments = (end - 1n) / (16n << 20n) - start / (16n << 20n);
        return end - start === aligned + 24n * (pages - segments) + 40n * segments;
      }),
    );
  });
});
