import { InvalidArgumentError, Option } from 'commander';
import { RepriseError } from '../domain/errors.js';
import { logFormats, logLevels } from '../domain/log-settings.js';
import type { LogFormat, LogLevel, LogSettings } from '../domain/log-settings.js';
import { parseInstant } from '../domain/target/instant.js';
import { parseTarget } from '../domain/target/target.js';
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

/** An instant with its offset, as UTC; one without is refused, with both readings. */
export function parseTime(text: string): string {
  return parseInstant(text, localZone());
}

/** Zone of the person at the terminal: only to show what an ambiguous time may mean. */
function localZone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone;
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
export function targetOption(): Option {
  return new Option('--to <target>', 'where to recover to').argParser((text) => parseTarget(text, localZone()));
}
