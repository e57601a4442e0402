/**
 * First instant to which a backup that ended then can be recovered, to the second, so that it is taken as it is printed: engines
 * round the end of a backup down to a second.
 * @param finishedAt UTC ISO-8601
 */
export function consistentFrom(finishedAt: string): string {
  return new Date((Math.floor(Date.parse(finishedAt) / 1000) + 1) * 1000).toISOString().replace('.000Z', 'Z');
}
