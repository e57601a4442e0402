import { z } from 'zod';

/** Keys of a check of type `media-sample`, besides `type`. */
export const mediaSampleOptions = z.strictObject({
  media: z.string().min(1).describe('Name under `media`.'),
  objects: z.int().min(1).max(100_000).default(100).describe('Number of objects that are read, chosen by chance.'),
});

/** What the check reads from `CheckConfig.options`. */
export interface MediaSampleOptions extends Readonly<Record<string, unknown>> {
  readonly media: string;
  readonly objects: number;
}

export function readMediaSampleOptions(options: z.output<typeof mediaSampleOptions>): MediaSampleOptions {
  return options;
}
