import { RepriseError } from '../../domain/errors.js';

/** Not taken now: another attempt may succeed. */
export function unreachable(what: string, reason: string): RepriseError {
  return new RepriseError(
    'notifier-unreachable',
    `${what}: ${reason}`,
    'it is tried again for a day; see that the server runs and can be reached from the control worker, then: reprise notify test CONTACT',
  );
}

/** Refused for good: only a change of the configuration helps. */
export function rejected(what: string, reason: string, hint: string): RepriseError {
  return new RepriseError('notifier-rejected', `${what}: ${reason}`, `${hint}, then: reprise notify test CONTACT`);
}

/** What a failed connection says, without the secret, in whatever form a server may repeat it. */
export function reasonWithout(secret: string | undefined, error: unknown): string {
  const cause = error instanceof AggregateError ? (error.errors[0] as unknown) : error;
  const text = (
    cause instanceof Error ? cause.message || ((cause as NodeJS.ErrnoException).code ?? cause.name) : String(cause)
  )
    .replace(/\s+/g, ' ')
    .slice(0, 300);
  if (!secret) return text;
  const forms = [secret, Buffer.from(secret).toString('base64').replace(/=+$/, ''), encodeURIComponent(secret)];
  return forms.reduce((rest, form) => rest.replaceAll(form, '***'), text);
}
