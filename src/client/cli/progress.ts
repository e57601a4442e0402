import { durationInWords, sizeInWords, visible } from '../../domain/text.js';
import type { StatusView } from '../status.js';
import type { Cli } from './cli.js';

/** Without a terminal: a line on every change of state, and one so often. */
const LINE_EVERY_MS = 30_000;

/**
 * Shows how far a piece of work is, on stderr: one live line on a terminal, lines otherwise. What a person is waited
 * for is said once, in full.
 */
export class ProgressDisplay {
  private lastLineAt = -Infinity;
  private lastState = '';
  private lastWaiting: string | null = null;
  private lineShown = false;

  constructor(private readonly cli: Cli) {}

  update(view: StatusView): void {
    const { terminal } = this.cli;
    const line = progressLine(view);
    if (view.waitingFor !== this.lastWaiting) {
      this.clear();
      if (view.waitingFor !== null) this.cli.say(`${terminal.paint('yellow', 'waiting for', 'err')} ${visible(view.waitingFor)}`);
      this.lastWaiting = view.waitingFor;
    }
    if (terminal.live) {
      terminal.err(`\r\x1b[2K${[...line].slice(0, Math.max(20, terminal.columns - 1)).join('')}`);
      this.lineShown = true;
      return;
    }
    const state = `${view.state} ${view.phase ?? ''} ${view.retrying?.reason ?? ''}`;
    const now = performance.now();
    if (state === this.lastState && now - this.lastLineAt < LINE_EVERY_MS) return;
    this.lastState = state;
    this.lastLineAt = now;
    this.cli.say(`${new Date().toISOString()} ${line}`);
  }

  /** Ends the live line, so that what follows stands on its own. */
  clear(): void {
    if (this.lineShown) this.cli.terminal.err('\r\x1b[2K');
    this.lineShown = false;
  }
}

/** One line: `backup/mairie/nightly  running: back up, 40 % (1.2 GB of 3.0 GB), about 2 min 05 s left`. */
export function progressLine(view: StatusView): string {
  const parts = [`${view.workflowId}  ${view.state}${view.phase === null ? '' : `: ${view.phase}`}`];
  if (view.progress !== null) parts.push(figures(view.progress));
  if (view.retrying !== null) parts.push(`attempt ${view.retrying.attempt}, because ${view.retrying.reason}`);
  return visible(parts.join(', '));
}

function figures({ done, total, unit, etaSeconds }: NonNullable<StatusView['progress']>): string {
  const amount = (value: number): string => (unit === 'bytes' ? sizeInWords(value) : String(value));
  const label = unit === 'bytes' ? '' : ` ${unit}`;
  const share = total === undefined || total === 0 ? '' : `${Math.floor((100 * done) / total)} % `;
  const of = total === undefined ? `${amount(done)}${label}` : `(${amount(done)} of ${amount(total)}${label})`;
  const left = etaSeconds === undefined ? '' : `, about ${durationInWords(etaSeconds)} left`;
  return `${share}${of}${left}`;
}
