/**
 * Gives the memory of a buffer back at once; it is empty then. The garbage collector sees the small object alone, and would come when
 * hundreds of megabytes are there. A part of a buffer is left as it is.
 */
export function freeMemory({ buffer, byteLength }: Uint8Array): void {
  if ('transfer' in buffer && buffer.byteLength === byteLength) buffer.transfer(0);
}
