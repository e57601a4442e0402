import { visible } from '../../domain/text/text.js';
import type { CheckContext, CheckOutcome } from '../check.js';
import { failed, namedOf, passed, skipped } from '../outcomes.js';
import type { MediaSampleOptions } from './options.js';

/** Reads some of the objects that restored rows name (`objects_query`; without one, some of all objects), and decodes the images among them. */
export async function runMediaSampleCheck(
  { sampleMedia }: CheckContext,
  { media, objects }: MediaSampleOptions,
): Promise<CheckOutcome> {
  if (sampleMedia === undefined) return skipped('media cannot be read from here');
  const verdict = await sampleMedia(media, objects);
  const seen = `${verdict.objects} objects of ${media} were read, ${verdict.decoded} images decoded`;
  if (verdict.problems > 0)
    return failed(
      `${seen}; ${verdict.problems} have problems: ${namedOf(verdict.samples.map(({ key, problem }) => `${visible(key)} ${problem}`))}`,
      `read all of them: reprise media verify ${media}`,
    );
  return verdict.objects === 0 ? skipped(`there is no object of ${media} to read`) : passed(seen);
}
