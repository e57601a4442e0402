import { withLocalTimes } from '../../domain/target/instant.js';
import { durationInWords, sizeInWords, visible } from '../../domain/text/text.js';
import { waitsForPerson } from '../../domain/operation/status.js';
import type { StatusView } from '../../client/status.js';
import type { Terminal } from './terminal.js';

/** Without a terminal: a line on every change of state, and one so often. */
const LINE_EVERY_MS = 30_000;

/**
 * Shows how far an operation is. On a terminal each phase has one line: live while it is under way, then what it
 * took. Otherwise a dated line for every change, and one every 30 s while it works. What a person is waited for is said once, in full.
 */
export class ProgressDisplay {
  private lastLineAt = -Infinity;
  private lastState = '';
  private lastWaiting: string | null = null;
  private lineShown = false;
  /** Phases of which the last word has been said. */
  private readonly ended = new Set<number>();
  private readonly rate = new Rate();

  /** `say` gets whole lines; the live line is written on stderr. */
  constructor(
    private readonly terminal: Terminal,
    private readonly say: (line: string) => void,
    /** Whose local times stand beside those in UTC. */
    private readonly zone?: string,
  ) {}

  update(view: StatusView, now = Date.now()): void {
    this.rate.add(view, now);
    if (this.terminal.live) this.sayEnded(view);
    if (view.waitingFor !== this.lastWaiting) {
      this.clear();
      if (view.waitingFor !== null)
        this.say(
          `${this.terminal.paint('yellow', 'waiting for', 'err')} ${withLocalTimes(visible(view.waitingFor), this.zone)}`,
        );
      this.lastWaiting = view.waitingFor;
    }
    if (this.terminal.live) {
      const line = [...liveLine(view, now, this.rate.perSecond)]
        .slice(0, Math.max(20, this.terminal.columns - 1))
        .join('');
      this.terminal.err(`\r\x1b[2K${line}`);
      this.lineShown = true;
      return;
    }
    const state = `${view.state} ${view.phase ?? ''} ${view.retrying?.reason ?? ''}`;
    const isStill = waitsForPerson(view.state) || now - this.lastLineAt < LINE_EVERY_MS;
    if (state === this.lastState && isStill) return;
    this.lastState = state;
    this.lastLineAt = now;
    this.say(`${new Date(now).toISOString()} ${progressLine(view, this.rate.perSecond)}`);
  }

  /** Ends the live line, so that what follows stands on its own. */
  clear(): void {
    if (this.lineShown) this.terminal.err('\r\x1b[2K');
    this.lineShown = false;
  }

  /** Also phases so short that no status showed them. What ends within another phase is said before that one. */
  private sayEnded({ phases }: StatusView): void {
    for (const [index, { name, seconds }] of phases.entries()) {
      if (seconds === null || this.ended.has(index)) continue;
      this.clear();
      this.say(`${this.terminal.paint('green', 'done', 'err')}  ${visible(name)}, ${durationInWords(seconds)}`);
      this.ended.add(index);
    }
  }
}

/** Tells on a terminal how many of many things are done, on one line that is gone at the end; elsewhere nothing. */
export function liveCount(
  terminal: Pick<Terminal, 'live' | 'err'>,
  what: string,
): (done: number, total: number) => void {
  return (done, total) => {
    if (terminal.live) terminal.err(done < total ? `\r\x1b[2K${done} of ${total} ${what}` : '\r\x1b[2K');
  };
}

/** `now   back up, 12 s: 40 % (1.2 GB of 3.0 GB), 80.0 MB/s, about 2 min 05 s left`. */
function liveLine(view: StatusView, now: number, perSecond: number | null): string {
  const { phases, progress, state, retrying } = view;
  const phase = phases.findLast(({ seconds }) => seconds === null);
  // The server's clock may be ahead of ours.
  const took =
    phase === undefined
      ? ''
      : `, ${durationInWords(Math.max(0, Math.floor((now - Date.parse(phase.startedAt)) / 1000)))}`;
  const parts = [`${view.phase ?? state}${took}${state === 'running' || view.phase === null ? '' : ` (${state})`}`];
  if (progress !== null) parts.push(figures(progress, perSecond));
  const again = retrying === null ? '' : `, attempt ${retrying.attempt}, because ${retrying.reason}`;
  return visible(`now   ${parts.join(': ')}${again}`);
}

/** One line: `backup/mairie/nightly  running: back up, 40 % (1.2 GB of 3.0 GB), 80.0 MB/s, about 2 min 05 s left`. */
export function progressLine(view: StatusView, perSecond: number | null = null): string {
  const parts = [`${view.workflowId}  ${view.state}${view.phase === null ? '' : `: ${view.phase}`}`];
  if (view.progress !== null) parts.push(figures(view.progress, perSecond));
  if (view.retrying !== null) parts.push(`attempt ${view.retrying.attempt}, because ${view.retrying.reason}`);
  return visible(parts.join(', '));
}

function figures(
  { done, total, unit, etaSeconds }: NonNullable<StatusView['progress']>,
  perSecond: number | null,
): string {
  const amount = (value: number): string => (unit === 'bytes' ? sizeInWords(value) : String(value));
  const label = unit === 'bytes' ? '' : ` ${unit}`;
  const share = total === undefined || total === 0 ? '' : `${Math.floor((100 * done) / total)} % `;
  const of = total === undefined ? `${amount(done)}${label}` : `(${amount(done)} of ${amount(total)}${label})`;
  const speed =
    perSecond === null
      ? ''
      : unit === 'bytes'
        ? `, ${sizeInWords(Math.round(perSecond))}/s`
        : `, ${perSecond.toFixed(1)} ${unit}/s`;
  const eta = etaSeconds ?? (total !== undefined && perSecond !== null ? (total - done) / perSecond : undefined);
  const left = eta === undefined ? '' : `, about ${durationInWords(Math.max(0, eta))} left`;
  return `${share}${of}${speed}${left}`;
}

/** Long enough to be calm, short enough to show that something has stopped. */
const WINDOW_MS = 10_000;

/** How fast a step goes, from samples of its progress during the last seconds. */
export class Rate {
  private samples: { readonly at: number; readonly done: number }[] = [];
  private step = '';

  add({ phase, phases, progress }: Pick<StatusView, 'phase' | 'phases' | 'progress'>, at: number): void {
    const step = `${phases.length} ${phase} ${progress?.unit} ${progress?.total}`;
    const last = this.samples.at(-1);
    // Another step, or the same one started again, says nothing about this one.
    if (step !== this.step || progress === null || (last !== undefined && progress.done < last.done)) this.samples = [];
    this.step = step;
    if (progress !== null) this.samples.push({ at, done: progress.done });
    while (this.samples.length > 2 && at - (this.samples[1]?.at ?? at) >= WINDOW_MS) this.samples.shift();
  }

  /** Units in a second; null where it is not known yet, or nothing moves. */
  get perSecond(): number | null {
    const [first, last] = [this.samples[0], this.samples.at(-1)];
    if (first === undefined || last === undefined || last.at === first.at || last.done === first.done) return null;
    return ((last.done - first.done) * 1000) / (last.at - first.at);
  }
}
