import { distance } from 'fastest-levenshtein';

/** Of the known words the one that was probably meant, or undefined where none is near enough. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  // Two neighbours exchanged count as two edits: so many are allowed in words of four letters and more.
  const limit = Math.max(word.length < 4 ? 1 : 2, Math.floor(word.length / 3));
  return known
    .map((candidate) => ({ candidate, edits: distance(word.toLowerCase(), candidate.toLowerCase()) }))
    .filter(({ edits }) => edits <= limit)
    .sort((left, right) => left.edits - right.edits)[0]?.candidate;
}

/** Hint for a word that is not known: the nearest one, else all there are. */
export function didYouMean(word: string, known: readonly string[], what: string): string {
  const near = nearest(word, known);
  if (near !== undefined) return `did you mean "${near}"?`;
  return known.length === 0 ? `there are no ${what}` : `known ${what}: ${known.join(', ')}`;
}
