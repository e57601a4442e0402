import type { StatusView } from '../../client/status.js';

/** Long enough to be calm, short enough to show that something has stopped. */
const WINDOW_MS = 10_000;

/** How fast a step goes, from looks at its progress during the last seconds. */
export class Rate {
  private looks: { readonly at: number; readonly done: number }[] = [];
  private step = '';

  add({ phase, phases, progress }: Pick<StatusView, 'phase' | 'phases' | 'progress'>, at: number): void {
    const step = `${phases.length} ${phase} ${progress?.unit} ${progress?.total}`;
    const last = this.looks.at(-1);
    // Another step, or the same one begun anew, says nothing about this one.
    if (step !== this.step || progress === null || (last !== undefined && progress.done < last.done)) this.looks = [];
    this.step = step;
    if (progress !== null) this.looks.push({ at, done: progress.done });
    while (this.looks.length > 2 && at - (this.looks[1]?.at ?? at) >= WINDOW_MS) this.looks.shift();
  }

  /** Units in a second; null where it is not known yet, or nothing moves. */
  get perSecond(): number | null {
    const [first, last] = [this.looks[0], this.looks.at(-1)];
    if (first === undefined || last === undefined || last.at === first.at || last.done === first.done) return null;
    return ((last.done - first.done) * 1000) / (last.at - first.at);
  }
}
