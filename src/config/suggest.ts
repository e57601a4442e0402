/** Of the known words the one that was probably meant, or undefined where none is near enough. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const limit = Math.max(1, Math.floor(word.length / 3));
  return known
    .map((candidate) => ({ candidate, distance: distance(word.toLowerCase(), candidate.toLowerCase()) }))
    .filter(({ distance }) => distance <= limit)
    .sort((left, right) => left.distance - right.distance)[0]?.candidate;
}

/** Hint for a word that is not known: the nearest one, else all there are. */
export function didYouMean(word: string, known: readonly string[], what: string): string {
  const near = nearest(word, known);
  if (near !== undefined) return `did you mean "${near}"?`;
  return known.length === 0 ? `there are no ${what}` : `known ${what}: ${known.join(', ')}`;
}

/** Edits between two words: insertion, deletion, substitution and exchange of neighbours (optimal string alignment). */
function distance(left: string, right: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: right.length + 1 }, (_, column) => column);
  for (let row = 1; row <= left.length; row += 1) {
    const present = [row];
    for (let column = 1; column <= right.length; column += 1) {
      const same = left[row - 1] === right[column - 1];
      let least = Math.min(at(last, column) + 1, at(present, column - 1) + 1, at(last, column - 1) + (same ? 0 : 1));
      const exchanged = left[row - 1] === right[column - 2] && left[row - 2] === right[column - 1];
      if (row > 1 && column > 1 && exchanged) least = Math.min(least, at(beforeLast, column - 2) + 1);
      present.push(least);
    }
    beforeLast = last;
    last = present;
  }
  return at(last, right.length);
}

const at = (row: readonly number[], column: number): number => row[column] ?? Infinity;
