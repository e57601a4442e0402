/** `TaskQueueType` of Temporal's API. */
export const taskQueueTypes = { workflow: 1, activity: 2 } as const;

/** A long poll is renewed every 60 s, so a poller not seen for longer is gone. */
const POLL_MS = 75_000;

/** A poller as the server describes it. */
export interface DescribedPoller {
  readonly identity?: string | null;
  readonly deploymentOptions?: { readonly buildId?: string | null } | null;
  readonly lastAccessTime?: { readonly seconds?: unknown; readonly nanos?: number | null } | null;
}

/** A worker that polls a task queue: the name it gave itself, and when it was last seen (ms since the epoch). */
export interface Poller {
  readonly identity: string;
  readonly seenMs: number;
}

/** Those of the server's list that still poll: a worker that was stopped stays in it for minutes. */
export function livingPollers(
  described: readonly DescribedPoller[] | null | undefined,
  nowMs: number,
): readonly Poller[] {
  return (described ?? [])
    .map(({ identity, lastAccessTime }) => ({
      identity: identity ?? '',
      seenMs: Number(lastAccessTime?.seconds ?? 0) * 1000 + Math.floor((lastAccessTime?.nanos ?? 0) / 1e6),
    }))
    .filter(({ seenMs }) => seenMs >= nowMs - POLL_MS);
}

/** Builds of the workflows that one of the server's pollers runs now. */
export function buildsWithWorker(described: readonly DescribedPoller[], nowMs: number): readonly string[] {
  return described.flatMap((poller) => {
    const { buildId } = poller.deploymentOptions ?? {};
    return typeof buildId === 'string' && livingPollers([poller], nowMs).length > 0 ? [buildId] : [];
  });
}
