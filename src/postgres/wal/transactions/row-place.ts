/** Place of a row version in a file: what SQL shows as `ctid`. */
export interface RowPlace {
  readonly block: number;
  readonly offset: number;
}

/** More than the offsets of a page of 32 kB. */
const OFFSETS = 4096;

/** As one number, in the order in which versions lie in the file. */
export const placeNumber = ({ block, offset }: RowPlace): number => block * OFFSETS + offset;

/** The `ctid` of a {@link placeNumber}. */
export const ctidOf = (place: number): string => `(${Math.floor(place / OFFSETS)},${place % OFFSETS})`;

/** The {@link placeNumber} of a `ctid`. */
export function placeOfCtid(ctid: string): number {
  const [block = 0, offset = 0] = ctid.slice(1, -1).split(',').map(Number);
  return placeNumber({ block, offset });
}
