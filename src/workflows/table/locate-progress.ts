import { conditionText, type TableCondition } from '../../domain/table/locate.js';
import { markdownText } from '../../domain/text/markdown.js';
import { durationInWords } from '../../domain/text/text.js';
import type { OperationStatus } from '../operation/operation-status.js';

const RESTORE = 'restore the temporary instance';

/** What people see of a search while it runs: what it does now, how much is left, and how long that takes. */
export class LocateProgress {
  restores = 0;
  moves = 0;
  /** Of one restore, from earlier ones on that host. */
  predictedSeconds: number | null = null;

  constructor(
    private readonly status: OperationStatus,
    private readonly condition: TableCondition,
  ) {}

  /** Among the backups: at most `left` of `backups` are still to be looked into. */
  showSearch(what: string, left: number, backups: number): void {
    const seconds = this.restoreSeconds;
    const each = seconds === null ? '' : `, about ${durationInWords(Math.max(1, Math.round(seconds)))} each`;
    const all = seconds === null ? '' : ` (about ${durationInWords(Math.max(1, Math.round(seconds * left)))} in all)`;
    this.show([
      `Now: ${markdownText(what)}.`,
      `${this.soFar}; at most ${left} more backups to look into${each}${all}, of ${backups}, then one replay of the WAL.`,
    ]);
  }

  /** In the WAL: of `stops` commits that are looked at, `done` are behind. */
  showReplay(done: number, stops: number, total: number, startedAt: number): void {
    const seconds = done === 0 ? null : (Date.now() - startedAt) / 1000 / done;
    const left = stops - done;
    const each =
      seconds === null
        ? ''
        : `, about ${durationInWords(Math.max(1, Math.round(seconds)))} each, ${durationInWords(Math.max(1, Math.round(seconds * left)))} in all`;
    this.show([
      `Now: look at the table after commit ${done + 1} of at most ${stops} (${total} touched it).`,
      `${this.soFar}; at most ${left} more moves forward${each}.`,
    ]);
  }

  private show(lines: readonly string[]): void {
    const condition = `**Condition:** ${markdownText(conditionText(this.condition))}`;
    this.status.show('running', null, [condition, ...lines].join('\n\n'));
  }

  private get soFar(): string {
    return `${this.restores} restores and ${this.moves} moves so far`;
  }

  /** Measured in this search; before the first one has ended, as predicted. */
  private get restoreSeconds(): number | null {
    const ended = this.status.times().filter(({ name, seconds }) => name === RESTORE && seconds !== null);
    if (ended.length === 0) return this.predictedSeconds;
    return this.status.seconds(RESTORE) / ended.length;
  }
}
