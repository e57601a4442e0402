import { beforeAll, describe, expect, it } from '@jest/globals';
import { seedOr } from '../chaos/random.js';
import { failOnLeakedProcesses } from '../helpers/leaks.js';
import { RepairLab } from '../helpers/repair-lab.js';
import { replaceRound } from '../helpers/replace-suite.js';
import { Site } from '../helpers/site.js';
import { prepareRandomTables, undoRound } from '../helpers/undo-suite.js';
import { writersRound } from '../helpers/writers-suite.js';

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
}, 300_000);

describe('Repairs of random tables, many seeds', () => {
  it.each(seeds)(
    'M4: seed %i: one transaction is undone, and taken back',
    async (seed) => {
      expect(await undoRound(lab, seed, TABLES)).toEqual([]);
    },
    900_000,
  );

  it.each(seeds)(
    'T6: seed %i: any damage is put back, from an instant and from a dump, and taken back',
    async (seed) => {
      expect(await replaceRound(lab, { seed, count: TABLES, policy: 'physical' })).toEqual([]);
      expect(await replaceRound(lab, { seed: seed + 100, count: TABLES, policy: 'dump' })).toEqual([]);
    },
    900_000,
  );

  it.each(seeds)(
    'T6: seed %i: nothing is lost of what people write meanwhile',
    async (seed) => {
      expect(await writersRound(lab, seed)).toEqual([]);
    },
    900_000,
  );
});
