/** Bigger ones are not decoded: their pixels would not fit. */
const MOST_BYTES = 100 * 1024 * 1024;

/** Names of images of the types that are decoded. */
export function isImage({ key, sizeBytes }: { readonly key: string; readonly sizeBytes: number }): boolean {
  return /\.(jpe?g|png|webp|gif|tiff?)$/i.test(key) && sizeBytes <= MOST_BYTES;
}

/** Decodes every pixel; what is wrong with it in words, or null. The decoder is loaded when the first image comes. */
export async function imageProblem(content: Buffer): Promise<string | null> {
  if (content.length === 0) return 'is empty';
  const { default: sharp } = await import('sharp');
  try {
    // An animation's pages too: a GIF that is cut off has a whole first one. The pixels are asked for, in grey, which takes
    // a byte each: `stats()` passes over what fails while other images are decoded.
    await sharp(content, { failOn: 'error', pages: -1 }).toColourspace('b-w').raw().toBuffer();
    return null;
  } catch (error) {
    const [reason = ''] = (error instanceof Error ? error.message : String(error)).split('\n');
    return `cannot be decoded: ${reason}`;
  }
}
