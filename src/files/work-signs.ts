import { AsyncLocalStorage } from 'node:async_hooks';

/** Who wants to know whether work goes on that may take hours and is no job. */
export interface WorkWatcher {
  /** Called at every sign. */
  readonly moved: () => void;
  /** How often those are asked who only know when they are asked. */
  readonly everyMs: number;
}

const watchers = new AsyncLocalStorage<WorkWatcher>();

/** Runs work, and hears the signs of it, however deep they are given. */
export function watchWork<T>(watcher: WorkWatcher, work: () => Promise<T>): Promise<T> {
  return watchers.run(watcher, work);
}

/** Says that the work under way here goes on: bytes were moved, an object was changed. Costs nothing where nobody watches. */
export function workMoved(): void {
  watchers.getStore()?.moved();
}

/** For a wait that shows nothing by itself: asks now and then whether what is waited for goes on. Its failure is no sign. */
export async function askWhileWaiting<T>(wait: () => Promise<T>, goesOn: () => Promise<boolean>): Promise<T> {
  const watcher = watchers.getStore();
  if (watcher === undefined) return wait();
  let isAsked = false;
  const timer = setInterval(() => {
    if (isAsked) return;
    isAsked = true;
    goesOn()
      .then((moves) => moves && watcher.moved())
      .catch(() => false)
      .finally(() => (isAsked = false));
  }, watcher.everyMs);
  try {
    return await wait();
  } finally {
    clearInterval(timer);
  }
}
