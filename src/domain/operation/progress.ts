/** How far a long step is: what heartbeats carry and terminals show. No row value, no secret. */
export interface Progress {
  readonly phase: string;
  readonly done: number;
  /** Absent where the whole is not known. */
  readonly total?: number;
  readonly unit: 'bytes' | 'files' | 'segments' | 'tables' | 'steps';
  readonly etaSeconds?: number;
  /** Key of the job being watched, so that a view can say which tool works. */
  readonly job?: JobView;
}

/** A job as `status` shows it. `starts` counts how often the tool was started. */
export interface JobView {
  readonly key: string;
  readonly tool: string;
  readonly pid: number | null;
  readonly attempts: number;
  readonly starts: number;
  readonly state: 'recorded' | 'running' | 'succeeded' | 'failed' | 'gone';
}

/** An estimate of the whole, until more than that is done: then nothing is known of it. */
export function unlessPassed(total: number | null, done: number): { readonly total?: number } {
  return total === null || done >= total ? {} : { total };
}
