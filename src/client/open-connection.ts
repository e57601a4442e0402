import { Connection, defaultGrpcRetryOptions, makeGrpcRetryInterceptor } from '@temporalio/client';
import type { ConnectionOptions } from '@temporalio/client';

type Interceptor = NonNullable<ConnectionOptions['interceptors']>[number];

/** A request that is sent again on a closed connection: nothing is sent, and nobody waits for the answer any more. */
const notSent = {
  start: () => undefined,
  sendMessage: () => undefined,
  halfClose: () => undefined,
} as unknown as ReturnType<Interceptor>;

/**
 * A connection whose requests end with it. The SDK sends a request that failed again after a pause, also where the
 * connection was closed meanwhile: that throws out of a timer, and ends the process.
 * @throws as `Connection.connect`
 */
export async function openConnection(options: ConnectionOptions): Promise<Connection> {
  let closed = false;
  const sent = new WeakSet<object>();
  const retry = defaultGrpcRetryOptions();
  const again = makeGrpcRetryInterceptor({
    ...retry,
    retryableDecider: (attempt, status) => !closed && retry.retryableDecider(attempt, status),
  });
  const whileOpen = ((call, next) => {
    if (closed && sent.has(call)) return notSent;
    sent.add(call);
    return next(call);
  }) as Interceptor;
  const connection = await Connection.connect({ ...options, interceptors: [again, whileOpen] });
  const close = connection.close.bind(connection);
  return Object.assign(connection, {
    close: () => {
      closed = true;
      return close();
    },
  });
}
