import { InvalidArgumentError, Option } from 'commander';
import { RepriseError } from '../domain/errors.js';
import { logFormats, logLevels } from '../domain/log-settings.js';
import type { LogFormat, LogLevel, LogSettings } from '../domain/log-settings.js';
import { isUtc, isZone, localTime, parseInstant } from '../domain/target/instant.js';
import { formatTarget, parseTarget } from '../domain/target/target.js';
import { parseDuration } from '../domain/text/units.js';

/** `90s`, `5m`, `4h`, `7d` as seconds. */
export function parseSeconds(text: string): number {
  try {
    return parseDuration(text);
  } catch {
    throw new InvalidArgumentError('It is a number with s, m, h or d, e.g. 90s, 5m, 4h, 7d.');
  }
}

/** A whole number from 0. */
export function parseCount(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('It is a whole number, e.g. 100.');
  return Number(text);
}

/** A whole number within these bounds, which an order has too: nothing is started with another one. */
export function countBetween(least: number, most: number): (text: string) => number {
  return (text) => {
    const count = parseCount(text);
    if (count < least || count > most) throw new InvalidArgumentError(`It is a whole number from ${least} to ${most}.`);
    return count;
  };
}

/** An option that takes a time, in any form that a person writes; the command gets it in UTC. */
export class TimeOption extends Option {
  /** What was understood, for whoever wrote it in another form; null where it is what was written. */
  understood: string | null = null;

  /** @param read the time itself; `instant`: the time in what was read, null where there is none */
  constructor(flags: string, description: string, read: (text: string) => { value: unknown; instant: string | null }) {
    super(flags, description);
    this.argParser((text) => {
      const { value, instant } = read(text);
      this.understood =
        instant === null || instant === text ? null : `${this.long ?? ''} ${text} is ${inZone(instant, zoneIn(text))}`;
      return value;
    });
  }
}

/** `--from`, `--until` and the like. @throws RepriseError `target-ambiguous` for a time without an offset, with both readings */
export function timeOption(flags: string, description: string): TimeOption {
  return new TimeOption(flags, description, (text) => {
    const value = parseTime(text);
    return { value, instant: value };
  });
}

/** An instant in any form that a person writes, as UTC. */
export function parseTime(text: string): string {
  return parseInstant(text, localZone(), new Date());
}

/** Zone of the person at the terminal: shown beside UTC, and what an ambiguous time may mean. */
function localZone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone;
}

/** The zone whose times stand beside those in UTC; undefined where it is UTC. */
export function shownZone(): string | undefined {
  const zone = localZone();
  return isUtc(zone) ? undefined : zone;
}

/** The zone that a time was written with, else the local one. */
function zoneIn(text: string): string {
  const [written = ''] = /[A-Za-z]+(?:[/_+-][A-Za-z0-9]+)+$/.exec(text.trim()) ?? [];
  return written !== '' && isZone(written) ? written : localZone();
}

function inZone(instant: string, zone: string): string {
  return isUtc(zone) ? instant : `${instant}, ${localTime(instant, zone)} (${zone})`;
}

/** Gathers an option given several times. */
export function collect(value: string, earlier: readonly string[] | undefined): readonly string[] {
  return [...(earlier ?? []), value];
}

export interface LogFlags {
  readonly logLevel?: LogLevel;
  readonly logFormat?: LogFormat;
}

/** `--log-level` and `--log-format`, on what runs or starts a worker. */
export function logOptions(): Option[] {
  return [
    new Option('--log-level <level>', 'what the worker logs (default: $REPRISE_LOG_LEVEL, else warn)').choices(
      logLevels,
    ),
    new Option('--log-format <format>', 'format of the log (default: $REPRISE_LOG_FORMAT, else text)').choices(
      logFormats,
    ),
  ];
}

/**
 * Flag, else environment, else warnings as text.
 * @throws RepriseError `usage` where the environment names what is not there
 */
export function logSettings(flags: LogFlags, env: Readonly<Record<string, string | undefined>>): LogSettings {
  return {
    level: flags.logLevel ?? fromEnvironment(env, 'REPRISE_LOG_LEVEL', logLevels) ?? 'warn',
    format: flags.logFormat ?? fromEnvironment(env, 'REPRISE_LOG_FORMAT', logFormats) ?? 'text',
  };
}

function fromEnvironment<T extends string>(
  env: Readonly<Record<string, string | undefined>>,
  name: string,
  allowed: readonly T[],
): T | undefined {
  const value = env[name];
  if (value === undefined || value === '') return undefined;
  const found = allowed.find((word) => word === value);
  if (found !== undefined) return found;
  throw new RepriseError(
    'usage',
    `${name}=${value} is not known`,
    `set it to one of ${allowed.join(', ')}, or unset it`,
  );
}

/** `--by`, on every command by which a person decides something. */
export function byOption(): Option {
  return new Option('--by <name>', 'who decides (default: $REPRISE_BY, else your user name)');
}

export function reasonOption(mandatory = true): Option {
  const option = new Option('--reason <text>', 'why; it is kept in the journal');
  return mandatory ? option.makeOptionMandatory() : option;
}

/** `otherwise`: which policy is taken without it. */
export function policyOption(otherwise = 'the only one'): Option {
  return new Option('--policy <name>', `backup policy (default: ${otherwise})`);
}

/** `--to`, as `recover` and `retarget` take it. */
export function targetOption(flags = '--to <target>', description = 'where to recover to'): TimeOption {
  return new TimeOption(flags, description, (text) => {
    const value = parseTarget(text, localZone(), new Date());
    return { value, instant: value.kind === 'time' ? formatTarget(value) : null };
  });
}
