/** The timelines that a recovery goes through, oldest first, with where it leaves each. */
export interface TimelineHistory {
  /** The newest timeline that is known of the cluster. */
  readonly newest: number;
  readonly path: readonly { readonly timeline: number; readonly until: string | null }[];
}

/** `2, the newest; it leaves timeline 1 at 0/3000098`; null for a cluster that never changed its timeline. */
export function historyInWords({ newest, path }: TimelineHistory): string | null {
  const last = path.at(-1)?.timeline ?? newest;
  if (last === newest && path.length <= 1) return null;
  const which = last === newest ? 'the newest' : `which a recovery has left; the newest is ${newest}`;
  const steps = path.flatMap(({ timeline, until }) => (until === null ? [] : [`timeline ${timeline} at ${until}`]));
  return `${last}, ${which}${steps.length === 0 ? '' : `; it leaves ${steps.join(', ')}`}`;
}
