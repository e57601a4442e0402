import type { CheckContext, CheckOutcome } from '../check.js';
import { failed, skipped } from '../outcomes.js';
import type { HttpCheckOptions } from './options.js';

/** Most of an answer that is read to find a text in it. */
const MAX_BODY_BYTES = 1024 * 1024;

/**
 * Requests a URL with GET and checks status and text. Redirects are not followed: a login page would answer 200. A service
 * that cannot be reached has failed the check.
 */
export async function runHttpCheck(context: CheckContext, options: HttpCheckOptions): Promise<CheckOutcome> {
  context.signal.throwIfAborted();
  const url = context.drill === undefined ? options.url : options.drillUrl;
  if (url === undefined)
    return skipped(
      'its URL is that of production, which says nothing of what was restored',
      'name under drill_url: an application on the staging host that uses the restored server',
    );
  const late = AbortSignal.timeout(options.timeoutSeconds * 1000);
  try {
    const response = await fetch(url, { redirect: 'manual', signal: AbortSignal.any([context.signal, late]) });
    if (response.status !== options.status) {
      await response.body?.cancel();
      return failed(`status ${response.status}, expected ${options.status}`);
    }
    const body = await readStart(response);
    if (options.contains !== undefined && !body.includes(options.contains))
      return failed(`status ${response.status}, and the expected text is not in the response`);
    return { status: 'passed', detail: `status ${response.status}` };
  } catch (error) {
    context.signal.throwIfAborted();
    return failed(late.aborted ? `no response within ${options.timeoutSeconds} s` : `no response: ${reasonOf(error)}`);
  }
}

async function readStart(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  if (response.body === null) return '';
  for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
    chunks.push(chunk);
    length += chunk.byteLength;
    if (length >= MAX_BODY_BYTES) break;
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** fetch wraps what happened: "fetch failed" alone says nothing. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (typeof cause === 'object' && cause !== null && 'code' in cause && typeof cause.code === 'string')
    return cause.code;
  return cause instanceof Error ? cause.message : String(cause);
}
