import { RepriseError } from '../errors.js';
import { storageClasses, thawTierNames } from '../storage/storage-classes.js';
import type { ThawTier } from '../storage/storage-classes.js';
import { type Prices, thawPrice } from '../storage/storage-usage.js';
import { durationInWords, oneOf, sizeInWords } from '../text/text.js';

/** The part of a plan that says how its files are made readable: approved with it, since it costs money and hours. */
export interface PlannedThaw {
  readonly tier: ThawTier;
  /** Days for which the readable copies stay. */
  readonly days: number;
}

/** What the thaw comes to, as seen when the plan was made. */
export interface ObservedThaw {
  readonly objects: number;
  readonly bytes: number;
  readonly storageClasses: readonly string[];
  /** By tier that every class in it knows: hours at the most, and the price where the config has one. */
  readonly choices: readonly ThawChoice[];
  readonly currency: string | null;
}

export interface ThawChoice {
  readonly tier: ThawTier;
  readonly hours: number;
  readonly price: number | null;
}

/** Hours until all of the classes can be read, by tier; a tier that one of them lacks is none. */
export function thawTiers(classes: readonly string[]): { tier: ThawTier; hours: number }[] {
  return thawTierNames.flatMap((tier) => {
    const hours = classes.map((name) => storageClasses[name]?.thawHours?.[tier]);
    return hours.length === 0 || hours.includes(undefined)
      ? []
      : [{ tier, hours: Math.max(...hours.map((one) => one ?? 0)) }];
  });
}

/** Files of a recovery that cannot be read before they are thawed. */
export interface ObservedColdFiles {
  readonly files: readonly { readonly storageClass: string; readonly sizeBytes: number }[];
  /** How the repository thaws where the order does not say. */
  readonly defaults: PlannedThaw;
  readonly prices?: Prices;
  /** Why it could not be looked at; null where it was. */
  readonly notSeen: string | null;
}

/**
 * The thaw that a recovery needs; null where every file can be read. A thaw that was approved already stays part of the
 * plan when its files have become readable.
 * @throws RepriseError `usage` for a tier that a class does not know
 */
export function planThaw(
  { files, defaults, prices }: ObservedColdFiles,
  asked: ThawTier | undefined,
  approved?: PlannedThaw,
): { planned: PlannedThaw; observed: ObservedThaw | null } | null {
  if (files.length === 0) return approved === undefined ? null : { planned: approved, observed: null };
  const classes = [...new Set(files.map(({ storageClass }) => storageClass))].sort();
  const possible = thawTiers(classes);
  const tier = asked ?? defaults.tier;
  if (!possible.some((one) => one.tier === tier)) {
    throw new RepriseError(
      'usage',
      `${classes.join(', ')} cannot be thawed with the tier ${tier}`,
      `name one of them: ${oneOf(
        '--thaw-tier',
        possible.map((one) => one.tier),
      )}`,
    );
  }
  const priceOf = (one: ThawTier): number | null =>
    files.reduce<number | null>((price, { storageClass, sizeBytes }) => {
      const more = thawPrice(prices, storageClass, one, sizeBytes);
      return price === null || more === null ? null : price + more;
    }, 0);
  return {
    planned: { tier, days: defaults.days },
    observed: {
      objects: files.length,
      bytes: files.reduce((bytes, { sizeBytes }) => bytes + sizeBytes, 0),
      storageClasses: classes,
      choices: possible.map((one) => ({ ...one, price: priceOf(one.tier) })),
      currency: prices?.currency ?? null,
    },
  };
}

/** How often to look whether all is readable, in seconds: some twenty looks until it should be, and no history too long. */
export function thawPollSeconds(hours: number): number {
  return Math.round(Math.min(1800, Math.max(30, (hours * 3600) / 24)));
}

/** `3 files (1.2 GB) in DEEP_ARCHIVE: Standard, up to 12 h 00 min, 0.02 EUR; readable for 7 days`, and what else there is. */
export function thawInWords(
  { tier, days }: PlannedThaw,
  { objects, bytes, storageClasses: classes, choices, currency }: ObservedThaw,
): string[] {
  const words = (choice: ThawChoice): string =>
    `${choice.tier}, up to ${durationInWords(choice.hours * 3600)}, ${choice.price === null ? 'price not known' : `${choice.price.toFixed(2)} ${currency ?? ''}`}`;
  const [chosen] = choices.filter((choice) => choice.tier === tier);
  const others = choices.filter((choice) => choice.tier !== tier);
  return [
    `${objects} ${objects === 1 ? 'file' : 'files'} (${sizeInWords(bytes)}) in ${classes.join(', ')}: ${chosen === undefined ? tier : words(chosen)}; readable for ${days} days`,
    ...others.map((choice) => `instead, with --thaw-tier ${choice.tier}: ${words(choice)}`),
  ];
}
