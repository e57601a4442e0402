import { dirname, resolve } from 'node:path';
import type { ConfigPath, Problem } from './problem.js';

/** A place that only one owner may have. */
export interface Claim {
  readonly path: ConfigPath;
  /** What the reader is told it is, e.g. `repository local`. */
  readonly owner: string;
  readonly host: string;
  readonly place: string;
}

/** Claims that clash with one, oldest first. Each is found in a few steps: a fleet has thousands. */
export interface ClaimIndex {
  add(claim: Claim): void;
  clashing(claim: Claim): readonly Claim[];
}

export function collisions(claims: readonly Claim[], index: ClaimIndex, how: string): Problem[] {
  return claims.flatMap((claim) => {
    const [earlier] = index.clashing(claim);
    index.add(claim);
    if (!earlier) return [];
    const message = `${earlier.owner} and ${claim.owner} ${how}: ${claim.place}`;
    return [{ path: claim.path, message, hint: 'give each a separate place' }];
  });
}

/** Places that clash where they are the same. */
export class Places implements ClaimIndex {
  private readonly at = new Map<string, Claim[]>();

  add(claim: Claim): void {
    append(this.at, keyOf(claim.host, claim.place), claim);
  }

  clashing({ host, place }: Claim): readonly Claim[] {
    return this.at.get(keyOf(host, place)) ?? [];
  }
}

/** Directories, which clash as well where one is within the other. */
export class Directories implements ClaimIndex {
  private readonly at = new Map<string, Claim[]>();
  /** By each directory above them. */
  private readonly below = new Map<string, Claim[]>();
  private readonly order = new Map<Claim, number>();

  add(claim: Claim): void {
    const [own = '', ...above] = lineage(claim);
    this.order.set(claim, this.order.size);
    append(this.at, own, claim);
    for (const key of above) append(this.below, key, claim);
  }

  clashing(claim: Claim): readonly Claim[] {
    const keys = lineage(claim);
    const found = [...keys.flatMap((key) => this.at.get(key) ?? []), ...(this.below.get(keys[0] ?? '') ?? [])];
    return found.sort((left, right) => (this.order.get(left) ?? 0) - (this.order.get(right) ?? 0));
  }
}

/** A directory of a host and those above it. */
function lineage({ host, place }: Claim): readonly string[] {
  const paths = [resolve(place)];
  for (let above = dirname(paths[0] ?? ''); above !== paths.at(-1); above = dirname(above)) paths.push(above);
  return paths.map((path) => keyOf(host, path));
}

const keyOf = (host: string, place: string): string => `${host}\0${place}`;

function append(claims: Map<string, Claim[]>, key: string, claim: Claim): void {
  const there = claims.get(key);
  if (there === undefined) claims.set(key, [claim]);
  else there.push(claim);
}
