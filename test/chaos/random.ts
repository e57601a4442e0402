/** Mulberry32: the same numbers for the same seed, so that a failure can be had again. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export function shuffled<T>(items: readonly T[], random: () => number): T[] {
  return items
    .map((item) => ({ item, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}

/** `REPRISE_CHAOS_SEED`, else the one given. */
export function seedOr(otherwise: number): number {
  const given = process.env['REPRISE_CHAOS_SEED'];
  return given === undefined || given === '' ? otherwise : Number(given);
}
