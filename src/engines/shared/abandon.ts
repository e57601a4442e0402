import { type Aborting, isCancelled } from '../../process/jobs/jobs.js';

/**
 * Runs `work`, and `abandon` where it fails in an operation that was cancelled, whatever it failed with: a cancellation meets it
 * anywhere, and no attempt goes on with what it has begun. The failure is thrown all the same, and where `abandon` fails, too.
 */
export async function abandonedIfCancelled<T>(
  context: Aborting,
  work: () => Promise<T>,
  abandon: () => Promise<void>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (isCancelled(context)) await abandon();
    throw error;
  }
}
