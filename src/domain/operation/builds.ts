/** Name of the Worker Deployment whose workers run the workflows. */
export const DEPLOYMENT = 'reprise';

/** Digits of the workflow bundle's digest in a build id. */
const DIGITS = 12;

/** A build of the workflows, as Temporal pins executions to it: the package's version, and the digest of the bundle. */
export function buildIdOf(version: string, bundleDigest: string): string {
  return `${version}-${bundleDigest.slice(0, DIGITS)}`;
}

/**
 * Whether a worker of build `own` makes it the current one, which new workflows run on. `living`: builds with a worker
 * that polls. A newer build takes over from an older one; an older build only where no worker of the newer one is left.
 */
export function takesOver(own: string, current: string | null, living: readonly string[]): boolean {
  if (own === current) return false;
  return current === null || !living.includes(current) || compareVersions(own, current) > 0;
}

/** Positive where the package's version of `a` is the newer one; builds of one version count as equal. */
function compareVersions(a: string, b: string): number {
  const [left, right] = [numbersOf(a), numbersOf(b)];
  const differing = left.findIndex((number, index) => number !== right[index]);
  return differing === -1 ? 0 : (left[differing] ?? 0) - (right[differing] ?? 0);
}

/** Major, minor, patch. */
function numbersOf(buildId: string): readonly number[] {
  const [, ...numbers] = /^(\d+)\.(\d+)\.(\d+)/.exec(buildId) ?? [];
  return numbers.map(Number);
}
