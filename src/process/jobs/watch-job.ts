import { setTimeout as sleep } from 'node:timers/promises';
import type { Progress } from '../../domain/operation/progress.js';
import type { Job } from './job.js';
import type { GenerationPaths } from './job-paths.js';
import { fileSize } from '../../files/paths.js';

const SHORTEST_POLL_MS = 15;
const LONGEST_POLL_MS = 400;
const PROGRESS_MS = 500;
const REPORT_QUIET_AFTER_MS = 60_000;

/**
 * Watches a running tool until it runs no longer, or until the attempt is aborted. One that shows no sign of life is
 * first reported so, then ended after `stallTimeoutMs`.
 * @param ended settled when its wrapper has ended, where this attempt started it: its end is seen at once then
 */
export async function watchTool(job: Job, ended?: Promise<void>): Promise<void> {
  const { request, context } = job;
  const stallMs = request.stallTimeoutMs;
  const began = performance.now();
  const life = new SignsOfLife(job);
  const wrapper = new AbortController();
  void ended?.then(() => wrapper.abort());
  const either = AbortSignal.any([context.signal, wrapper.signal]);
  while (!context.signal.aborted) {
    const state = await job.read();
    if (state.kind !== 'running') return;
    const quietMs = await life.quietForMs(state.paths);
    job.setProgress(life.progress(quietMs, stallMs === undefined ? REPORT_QUIET_AFTER_MS : stallMs / 2));
    if (stallMs !== undefined && quietMs >= stallMs) {
      await job.decide(state, 'retry', 'stalled');
      await job.end(state.pid, state);
    }
    // Polled often at first, so that a short tool delays nobody, and then less and less.
    const pollMs = Math.min(LONGEST_POLL_MS, Math.max(SHORTEST_POLL_MS, (performance.now() - began) / 10));
    // Woken once: a wrapper that was killed may leave its tool alive.
    const signal = wrapper.signal.aborted ? context.signal : either;
    await sleep(pollMs, undefined, { signal }).catch(() => undefined);
  }
}

/** Growth of the output files, or a change of the progress. */
class SignsOfLife {
  private seen = '';
  private seenAt = performance.now();
  private bytes = 0;
  private latest: Progress | undefined;
  private readAt = -Infinity;

  constructor(private readonly job: Job) {}

  /** Reads the signs of life; returns for how many milliseconds there was none. */
  async quietForMs(paths: GenerationPaths): Promise<number> {
    if (performance.now() - this.readAt >= PROGRESS_MS) {
      this.readAt = performance.now();
      const { directory, stdout, stderr } = paths;
      // A reader that fails (a file not there yet) says nothing about the tool.
      this.latest = await this.job.request.progress?.({ directory, stdout, stderr }).catch(() => this.latest);
      this.bytes = ((await fileSize(stdout)) ?? 0) + ((await fileSize(stderr)) ?? 0);
      const sign = `${this.bytes} ${this.latest?.done}`;
      if (sign !== this.seen) {
        this.seen = sign;
        this.seenAt = performance.now();
      }
    }
    return performance.now() - this.seenAt;
  }

  progress(quietMs: number, saidAfterMs: number): Progress | undefined {
    if (quietMs < saidAfterMs) return this.latest;
    const quiet = `no progress for ${Math.floor(quietMs / 1000)} s`;
    if (this.latest === undefined) return { phase: quiet, done: this.bytes, unit: 'bytes' };
    return { ...this.latest, phase: `${this.latest.phase}: ${quiet}` };
  }
}
