import { Connection, defaultGrpcRetryOptions, makeGrpcRetryInterceptor } from '@temporalio/client';
import type { ConnectionOptions } from '@temporalio/client';

type Interceptor = NonNullable<ConnectionOptions['interceptors']>[number];

type Call = ReturnType<Interceptor>;
/** `grpc.status.UNAVAILABLE` */
const UNAVAILABLE = 14;

/** A request that would be sent again on a closed connection: nothing is sent, and whoever waits for the answer hears of it. */
const notSent = {
  start: (metadata: Parameters<Call['start']>[0], listener: Parameters<Call['start']>[1]) =>
    setImmediate(() =>
      listener?.onReceiveStatus?.({ code: UNAVAILABLE, details: 'the connection was closed', metadata }),
    ),
  sendMessage: () => undefined,
  halfClose: () => undefined,
} as unknown as Call;

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
