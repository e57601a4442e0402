/**
 * Why the backups that a tool's dry run would remove are not the planned ones, in one sentence; undefined where they are.
 * @param known labels of the tool's own list: files of an interrupted backup are in none and may go along
 */
export function labelDifference(
  removed: readonly string[],
  planned: readonly string[],
  known: readonly string[],
): string | undefined {
  const surplus = removed.filter((label) => known.includes(label) && !planned.includes(label));
  if (surplus.length > 0) return `it would also remove ${surplus.join(', ')}`;
  const lacking = planned.filter((label) => !removed.includes(label));
  return lacking.length > 0 ? `it would not remove ${lacking.join(', ')}` : undefined;
}
