import { beforeAll, describe, expect, it } from '@jest/globals';
import { seedOr } from '../chaos/random.js';
import { failOnLeakedProcesses } from '../helpers/leaks.js';
import { RepairLab } from '../helpers/repair-lab.js';
import { ReplaceRound } from '../helpers/replace-suite.js';
import { Site } from '../helpers/site.js';
import { prepareRandomTables, undoRound } from '../helpers/undo-suite.js';
import { WritersRound } from '../helpers/writers-suite.js';

failOnLeakedProcesses();

/** Rounds of each kind, from a seed on: `REPRISE_CHAOS_SEED`, else this one. */
const [FIRST, ROUNDS, TABLES] = [1001, 12, 25];
const seeds = Array.from({ length: ROUNDS }, (_, at) => seedOr(FIRST) + at);

let lab: RepairLab;

beforeAll(async () => {
  const site = await Site.create();
  lab = await RepairLab.of(site);
  await prepareRandomTables(lab);
  await site.startWorker();
  await site.backUp('physical');
});

describe('Repairs of random tables, many seeds', () => {
  it.each(seeds)(
    'M4, T6: seed %i: a transaction is undone, other damage is put back, people go on writing, all is taken back',
    async (seed) => {
      const writers = new WritersRound(lab, seed);
      try {
        expect(await undoRound(lab, seed, TABLES, [new ReplaceRound(lab, seed + 100, TABLES), writers])).toEqual([]);
      } finally {
        await writers.end();
      }
    },
    900_000,
  );

  it.each(seeds)(
    'T6: seed %i: any damage is put back from a dump, and taken back',
    async (seed) => {
      expect(await new ReplaceRound(lab, seed + 200, TABLES).fromDump()).toEqual([]);
    },
    900_000,
  );
});
