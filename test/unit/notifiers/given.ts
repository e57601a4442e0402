import { randomBytes } from 'node:crypto';
import type { SecretReference } from '../../../src/domain/config.js';
import type { NotifierMessage, SendContext } from '../../../src/notifiers/notifier.js';

/** Made up for this run; long enough to be found wherever it turns up. */
export const PASSWORD = `canary-${randomBytes(12).toString('hex')}`;
export const SIGNING_SECRET = `whsec_${randomBytes(32).toString('base64')}`;

/** Secrets behind references of the form `{ env: NAME }`. */
export const secrets: Record<string, string> = { PASSWORD, SIGNING_SECRET };

export const message: NotifierMessage = {
  id: '0123456789abcdef0123456789abcdef',
  thread: 'fedcba9876543210fedcba9876543210',
  event: 'failure',
  cluster: 'mairie',
  workflowId: 'backup/mairie/nightly-dump',
  at: '2026-11-21T01:30:00Z',
  subject: '[reprise] backup nightly-dump of mairie failed (disk-full)',
  text: 'Backup nightly-dump of mairie failed (disk-full).\n\nType     reprise backup run mairie\nÉtat — préfecture\n',
  link: 'http://127.0.0.1:8233/namespaces/default/workflows/backup%2Fmairie%2Fnightly-dump',
  first: [{ contact: 'ops', addresses: ['ops@example.org', 'night@example.org'] }],
  others: [{ contact: 'dba', addresses: ['dba@example.org'] }],
};

export function context(change: Partial<NotifierMessage> = {}, signal = new AbortController().signal): SendContext {
  const secret = async (reference: SecretReference) => ('env' in reference ? (secrets[reference.env] ?? '') : '');
  return { message: { ...message, ...change }, secret, signal };
}

/** What sending fails with: its code and all it says. */
export async function failureOf(sent: Promise<unknown>): Promise<{ code: string; text: string }> {
  try {
    await sent;
  } catch (error) {
    const {
      code,
      message: said,
      hint,
      details,
      stack,
    } = error as { code: string; message: string; hint?: string; details?: unknown; stack?: string };
    return { code, text: [said, hint, JSON.stringify(details), stack].join('\n') };
  }
  throw new Error('it was sent');
}
