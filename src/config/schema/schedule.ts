import { z } from 'zod';
import type { ScheduleConfig } from '../../domain/config.js';
import { duration } from '../../domain/fields.js';
import { isZone } from '../../domain/target/instant.js';
import { nextRuns } from '../schedule.js';
import { withHint } from '../problem.js';

const days = ['SUNDAY', 'MONDAY', 'TUESDAY', 'WEDNESDAY', 'THURSDAY', 'FRIDAY', 'SATURDAY'] as const;

/** Only what cron has always known: extensions (`L`, `W`, `#`, `@daily`) are not the same everywhere. */
const cronField = /^(\*|[\dA-Za-z]+(-[\dA-Za-z]+)?)(\/\d+)?(,(\*|[\dA-Za-z]+(-[\dA-Za-z]+)?)(\/\d+)?)*$/;
const cronWord = /^(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|sun|mon|tue|wed|thu|fri|sat)$/i;

const fieldsOf = (text: string): string[] => text.trim().split(/\s+/);

/** Five fields. Refused: what Temporal would read in another way than cron does, and what never comes. */
const cron = z.string().superRefine((text, context) => {
  const fields = fieldsOf(text);
  const words = text.match(/[A-Za-z]+/g) ?? [];
  if (
    fields.length !== 5 ||
    !fields.every((field) => cronField.test(field)) ||
    !words.every((word) => cronWord.test(word))
  ) {
    context.addIssue(
      withHint('this is no cron line of five fields', 'minute hour day-of-month month day-of-week, e.g. "30 1 * * *"'),
    );
    return;
  }
  if (!fields[2]?.startsWith('*') && !fields[4]?.startsWith('*')) {
    // cron runs when either matches, Temporal when both do.
    context.addIssue(
      withHint(
        'day of month and day of week are both restricted: cron means "or", Temporal means "and"',
        'for "and" write calendar: { day_of_week: SUNDAY, day_of_month: "1-7", hour: 2 }; for "or" make two policies',
      ),
    );
    return;
  }
  try {
    if (neverComes(text.trim())) context.addIssue('this cron line matches no date');
  } catch {
    // Croner refuses it.
    context.addIssue(
      withHint(
        'this cron line has a value out of range',
        'minute 0-59, hour 0-23, day 1-31, month 1-12, day of week 0-7',
      ),
    );
  }
});

/** A number, a range `"1-7"`, or a list of them, within bounds. */
const numbers = (least: number, most: number) => {
  const rule = `expected a number from ${least} to ${most}, a range such as "${least}-${most}", or a list of them`;
  const within = (text: string | number) => {
    const [, start, end] = /^(\d{1,2})(?:-(\d{1,2}))?$/.exec(String(text)) ?? [];
    return (
      start !== undefined &&
      Number(start) >= least &&
      Number(end ?? start) <= most &&
      Number(start) <= Number(end ?? start)
    );
  };
  const one = z.union([z.int(), z.string()], { error: rule }).refine(within, rule);
  return z.union([one, z.array(one).min(1, rule)], { error: rule });
};

const dayOfWeek = z.enum(days);

/** Fields that must all match, read as the cron line that Temporal would read in the same way. */
const calendar = z
  .strictObject({
    day_of_week: z
      .union([dayOfWeek, z.array(dayOfWeek).min(1)], {
        error: `expected a day of the week: ${days.join(', ')}, or a list of them`,
      })
      .optional()
      .describe('SUNDAY to SATURDAY, or a list.'),
    day_of_month: numbers(1, 31).optional().describe('Number, range "1-7", or a list.'),
    months: numbers(1, 12).optional().describe('Number, range, or a list; 1 is January.'),
    hour: numbers(0, 23).describe('Hour.'),
    minute: numbers(0, 59).default(0).describe('Minute.'),
  })
  .transform(({ day_of_week, day_of_month, months, hour, minute }) => {
    const weekdays = day_of_week === undefined ? '*' : [day_of_week].flat().map((day) => days.indexOf(day));
    return [minute, hour, day_of_month ?? '*', months ?? '*', weekdays].map(String).join(' ');
  })
  .refine((cron) => !neverComes(cron), 'this calendar matches no date');

/** `CET` or `Europe/Paris`, as every Temporal server knows them: no offset, and no abbreviation that means several zones. */
const timezone = z
  .string()
  .refine(
    (name) => /^(UTC|[A-Za-z]+(?:\/[A-Za-z0-9_+-]+)+)$/.test(name) && isZone(name),
    'expected a time zone by its IANA name, such as Europe/Paris or UTC',
  );

/** When a policy runs. Both spellings are read as one cron line. */
export const schedule = z
  .strictObject({
    cron: cron.optional().describe('Five fields, in `timezone`.'),
    calendar: calendar.optional().describe('Fields that must all match, in `timezone`.'),
    timezone: timezone.optional().describe('Time zone by its IANA name, such as Europe/Paris; UTC by default.'),
    catch_up: duration().prefault('6h').describe('How late a missed run may still be started.'),
  })
  .superRefine((value, context) => {
    if ((value.cron === undefined) === (value.calendar === undefined)) {
      context.addIssue(withHint('a schedule needs one of cron and calendar', 'for example cron: "30 1 * * *"'));
    }
  })
  .transform(({ cron, calendar, timezone, catch_up: catchUpSeconds }): ScheduleConfig => ({
    cron: calendar ?? fieldsOf(cron ?? '').join(' '),
    ...(timezone === undefined || timezone === 'UTC' ? {} : { timezone }),
    catchUpSeconds,
  }));

function neverComes(cron: string): boolean {
  return nextRuns({ cron }, new Date(), 1).length === 0;
}
