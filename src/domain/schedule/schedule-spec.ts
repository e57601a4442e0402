import type { ScheduleConfig } from '../config.js';
import { RepriseError } from '../errors.js';

/** Values of one calendar field, both ends inclusive. */
export interface CalendarRange {
  readonly start: number;
  readonly end: number;
  readonly step: number;
}

/** When a schedule fires (UTC): a time matches when all fields match. The form that Temporal's server keeps. */
export interface CalendarTimes {
  readonly second: readonly CalendarRange[];
  readonly minute: readonly CalendarRange[];
  readonly hour: readonly CalendarRange[];
  readonly dayOfMonth: readonly CalendarRange[];
  readonly month: readonly CalendarRange[];
  /** 0 is Sunday. */
  readonly dayOfWeek: readonly CalendarRange[];
}

/** A schedule the config asks for. */
export interface WantedSchedule {
  readonly id: string;
  readonly cluster: string;
  readonly policy: string;
  readonly calendar: CalendarTimes;
  readonly catchUpSeconds: number;
}

interface Field {
  readonly name: string;
  readonly min: number;
  readonly max: number;
  readonly names?: readonly string[];
}

export const monthNames: readonly string[] = [
  ...['JANUARY', 'FEBRUARY', 'MARCH', 'APRIL', 'MAY', 'JUNE'],
  ...['JULY', 'AUGUST', 'SEPTEMBER', 'OCTOBER', 'NOVEMBER', 'DECEMBER'],
];
export const dayNames: readonly string[] = [
  'SUNDAY',
  'MONDAY',
  'TUESDAY',
  'WEDNESDAY',
  'THURSDAY',
  'FRIDAY',
  'SATURDAY',
];
const fields = {
  second: { name: 'second', min: 0, max: 59 },
  minute: { name: 'minute', min: 0, max: 59 },
  hour: { name: 'hour', min: 0, max: 23 },
  dayOfMonth: { name: 'day of month', min: 1, max: 31 },
  month: { name: 'month', min: 1, max: 12, names: monthNames },
  // 7 is Sunday too, as in every cron.
  dayOfWeek: { name: 'day of week', min: 0, max: 7, names: dayNames },
} as const satisfies Record<string, Field>;

const everyDay = (): CalendarRange[] => [{ start: 0, end: 6, step: 1 }];

/**
 * The calendar of a schedule of the config. The server would keep a cron line as a calendar too: translated here, what
 * it keeps can be compared with what the config says.
 * @throws `config-invalid` for what is neither cron nor calendar.
 */
export function calendarOf(schedule: ScheduleConfig): CalendarTimes {
  if (schedule.cron !== undefined) return fromCron(schedule.cron);
  if (schedule.calendar !== undefined) return fromCalendar(schedule.calendar);
  throw invalid('a schedule needs cron or calendar');
}

/** Five fields. The config refuses a line that restricts both day fields: cron means either, Temporal both. */
function fromCron(expression: string): CalendarTimes {
  const [minute, hour, dayOfMonth, month, dayOfWeek, ...more] = expression.trim().split(/\s+/);
  if (!minute || !hour || !dayOfMonth || !month || !dayOfWeek || more.length > 0) {
    throw invalid(`cron "${expression}" does not have five fields`);
  }
  return {
    second: [exactly(0)],
    minute: parse(minute, fields.minute),
    hour: parse(hour, fields.hour),
    dayOfMonth: parse(dayOfMonth, fields.dayOfMonth),
    month: parse(month, fields.month),
    dayOfWeek: weekdays(dayOfWeek),
  };
}

/** Temporal's own calendar, as the config has it: the time of day is 0 where it is left out, the date any. */
function fromCalendar(calendar: Readonly<Record<string, unknown>>): CalendarTimes {
  const part = (field: Field, given: unknown, otherwise: readonly CalendarRange[]): readonly CalendarRange[] =>
    given === undefined ? otherwise : parse(given, field);
  return {
    second: [exactly(0)],
    minute: part(fields.minute, calendar['minute'], [exactly(0)]),
    hour: part(fields.hour, calendar['hour'], [exactly(0)]),
    dayOfMonth: part(fields.dayOfMonth, calendar['dayOfMonth'], whole(fields.dayOfMonth)),
    month: part(fields.month, calendar['month'], whole(fields.month)),
    dayOfWeek: calendar['dayOfWeek'] === undefined ? everyDay() : weekdays(calendar['dayOfWeek']),
  };
}

/** A field: `*`, `7`, `1-7`, `MON-FRI`, with `/15` for a step, with commas, as a range `{start, end}`, or as a list. */
function parse(value: unknown, field: Field): CalendarRange[] {
  if (Array.isArray(value)) return value.flatMap((item) => parse(item, field));
  if (typeof value === 'object' && value !== null && 'start' in value) {
    const { start, end = start } = value as { start: unknown; end?: unknown };
    return [range(`${String(start)}-${String(end)}`, field)];
  }
  if (typeof value !== 'number' && typeof value !== 'string')
    throw invalid(`${field.name} cannot be ${JSON.stringify(value)}`);
  return String(value)
    .split(',')
    .map((item) => range(item.trim(), field));
}

function range(text: string, field: Field): CalendarRange {
  const found = /^(\*|\w+)(?:-(\w+))?(?:\/(\d+))?$/.exec(text);
  const [, first, last, by] = found ?? [];
  if (first === undefined || (first === '*' && last !== undefined)) throw invalid(`${field.name} cannot be "${text}"`);
  const step = by === undefined ? 1 : Number(by);
  const start = first === '*' ? field.min : number(first, field);
  // `5/15` is every 15 from 5 on, as in cron.
  const end = last !== undefined ? number(last, field) : first === '*' || by !== undefined ? field.max : start;
  if (end < start || step < 1) throw invalid(`${field.name} cannot be "${text}": it holds nothing`);
  return { start, end, step };
}

/** A number, or a name by its first three letters. */
function number(text: string, field: Field): number {
  const named = /^[a-z]{3,}$/i.test(text)
    ? (field.names?.findIndex((name) => name.startsWith(text.toUpperCase())) ?? -1)
    : -1;
  const value = named >= 0 ? named + field.min : /^\d+$/.test(text) ? Number(text) : NaN;
  if (!(value >= field.min && value <= field.max)) throw invalid(`${field.name} cannot be "${text}"`);
  return value;
}

/** Days of the week one by one, because 7 and ranges up to it mean Sunday too; all of them as one range. */
function weekdays(value: unknown): CalendarRange[] {
  const held = new Set<number>();
  for (const { start, end, step } of parse(value, fields.dayOfWeek)) {
    for (let day = start; day <= end; day += step) held.add(day % 7);
  }
  return held.size === 7 ? everyDay() : [...held].sort((a, b) => a - b).map(exactly);
}

const exactly = (value: number): CalendarRange => ({ start: value, end: value, step: 1 });
const whole = (field: Field): CalendarRange[] => [{ start: field.min, end: field.max, step: 1 }];

function invalid(problem: string): RepriseError {
  return new RepriseError(
    'config-invalid',
    problem,
    'write e.g. cron: "15 2 * * *", or calendar: {day_of_week: SUNDAY, hour: 2}',
  );
}
