import { describe, expect, it } from '@jest/globals';
import { execa } from 'execa';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');

/** The least of everything: this asks whether a benchmark runs to its end, and not how fast. */
const smallest = {
  REPRISE_BENCH_SCALE: '1',
  REPRISE_BENCH_SCALES: '1,2,3',
  REPRISE_BENCH_PAIRS: '1',
  REPRISE_BENCH_OBJECTS: '300',
  REPRISE_BENCH_SEGMENTS: '3',
  REPRISE_BENCH_CLUSTERS: '3',
  REPRISE_BENCH_CHANGES: '300',
};

describe('every benchmark still runs to its end after the program has changed', () => {
  it.each([
    'setup',
    'attach',
    'overhead',
    'drill',
    'predict',
    'memory',
    'scale',
    'stream',
    'wal',
    'media',
    'apply',
    'instance',
  ])(
    '%s',
    async (name) => {
      const bench = await execa(process.execPath, ['bench/run.mjs', name], { cwd: root, env: smallest, reject: false });
      // A figure that falls short is no failure here; one that was not measured is.
      const figures = bench.stdout.split('\n').filter((line) => line.startsWith('{'));
      expect(bench.stderr).not.toContain(`${name}: failed`);
      expect(figures.length).toBeGreaterThan(0);
    },
    900_000,
  );
});
