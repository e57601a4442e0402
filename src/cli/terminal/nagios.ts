import type { Finding } from '../../domain/findings.js';
import { durationInWords, visible } from '../../domain/text/text.js';
import type { ClusterCheckResult } from '../../client/checks/check.js';
import type { Figure } from '../../domain/backup/freshness.js';
import { explained, QuietExit } from '../report-error.js';
import type { Terminal } from './terminal.js';

/** States of a monitoring plugin; the place is the exit code (Monitoring Plugins Development Guidelines). */
const states = ['OK', 'WARNING', 'CRITICAL', 'UNKNOWN'] as const;
type State = (typeof states)[number];
/** So many findings are named in the one line; the rest is counted. */
const NAMED = 3;

export function nagiosState(findings: readonly Finding[]): State {
  if (findings.some(({ level }) => level === 'problem')) return 'CRITICAL';
  return findings.some(({ level }) => level === 'warning') ? 'WARNING' : 'OK';
}

/** `REPRISE STATE - what | performance data`, the worst first. */
export function nagiosLine({ findings, figures }: ClusterCheckResult): {
  readonly line: string;
  readonly exitCode: number;
} {
  const state = nagiosState(findings);
  const bad = [
    ...findings.filter(({ level }) => level === 'problem'),
    ...findings.filter(({ level }) => level === 'warning'),
  ];
  const more = bad.length > NAMED ? `; and ${bad.length - NAMED} more` : '';
  const what =
    bad.length > 0
      ? `${bad
          .slice(0, NAMED)
          .map(({ message }) => plain(message))
          .join('; ')}${more}`
      : allWell(figures);
  const data = figures.map(performance).join(' ');
  return { line: `REPRISE ${state} - ${what}${data === '' ? '' : ` | ${data}`}`, exitCode: states.indexOf(state) };
}

/** Whether a command line asks for the output of a monitoring plugin: an error is then UNKNOWN, printed on stdout. */
export function isNagios(argv: readonly string[]): boolean {
  return (
    argv.includes('check') && argv.includes('--nagios') && !argv.some((word) => word === '--help' || word === '-h')
  );
}

export function reportUnknown(terminal: Terminal, error: unknown): number {
  if (error instanceof QuietExit) return error.exitCode;
  const { message, hint } = explained(error);
  terminal.out(`REPRISE UNKNOWN - ${plain(message)}${hint === undefined ? '' : ` (${plain(hint)})`}\n`);
  return states.indexOf('UNKNOWN');
}

function allWell(figures: readonly Figure[]): string {
  const ages = figures.filter(({ name }) => name.endsWith(' age') && !name.endsWith(' proof age'));
  if (ages.length === 0) return 'nothing is wrong';
  return `${ages.length} newest backup${ages.length === 1 ? '' : 's'}, the oldest of them ${durationInWords(Math.max(...ages.map(({ seconds }) => seconds)))} old`;
}

/** `'label'=value[UOM];[warn];[crit];[min]`: a quote in a label is doubled, and an equals sign has no place in it. */
function performance({ name, seconds, warn, crit }: Figure): string {
  const label = visible(name).replaceAll("'", "''").replaceAll('=', '-').replaceAll('|', '/');
  const limit = (value: number | undefined): string => (value === undefined ? '' : String(Math.round(value)));
  return `'${label}'=${Math.round(seconds)}s;${limit(warn)};${limit(crit)};0`;
}

/** A pipe would begin the performance data. */
function plain(text: string): string {
  return visible(text).replaceAll('|', '/');
}
