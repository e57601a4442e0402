/** Limits of S3 (Amazon S3 User Guide, "multipart upload limits"). */
export const MAX_PARTS = 10_000;
const MAX_OBJECT_BYTES = 5 * 1024 ** 4;

/** Parts of one upload never take more memory than this together, whatever the config says. */
const MEMORY_BYTES = 32 * 1024 ** 2;
/** At least two pieces fit in that memory: one is filled while the other is sent. */
const MAX_PIECE_BYTES = MEMORY_BYTES / 2;
const CONCATENATED_BYTES = 1024 ** 3;

/**
 * How a stream of unknown length becomes an object. It is cut into pieces that fit in memory. The first are parts of the
 * object; as there are 10,000 of these at most, later pieces are concatenated on the server: many become an object of
 * their own, which is copied there into one big part.
 */
export interface PartPlan {
  readonly pieceBytes: number;
  /** Pieces in memory at once. */
  readonly atOnce: number;
  /** So many pieces are parts themselves. */
  readonly direct: number;
  /** So many later ones become one part. */
  readonly perPart: number;
}

/** @param partBytes as configured, 5 MiB at least; @param concurrency as configured */
export function partPlan({
  partBytes,
  concurrency,
}: {
  readonly partBytes: number;
  readonly concurrency: number;
}): PartPlan {
  const pieceBytes = Math.min(partBytes, MAX_PIECE_BYTES);
  const atOnce = Math.max(1, Math.min(concurrency, Math.floor(MEMORY_BYTES / pieceBytes)));
  return {
    pieceBytes,
    atOnce,
    direct: MAX_PARTS - MAX_OBJECT_BYTES / CONCATENATED_BYTES,
    perPart: Math.ceil(CONCATENATED_BYTES / pieceBytes),
  };
}

/** Where a piece belongs, all counted from 1: the part of the object, and its place in that part where others share it. */
export function placeOfPiece(
  piece: number,
  { direct, perPart }: Pick<PartPlan, 'direct' | 'perPart'>,
): { readonly part: number; readonly place: number | null } {
  if (piece <= direct) return { part: piece, place: null };
  const index = piece - direct - 1;
  return { part: direct + 1 + Math.floor(index / perPart), place: (index % perPart) + 1 };
}
