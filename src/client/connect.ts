import type { Client, Connection, ConnectionOptions } from '@temporalio/client';
import type { Config } from '../domain/config.js';
import { RepriseError } from '../domain/errors.js';
import { webUiLink } from '../domain/operation/names.js';
import { shellWord } from '../domain/text/text.js';

const DEFAULT_ADDRESS = '127.0.0.1:7233';
const DEFAULT_NAMESPACE = 'default';
const DEFAULT_WEB_UI = 'http://127.0.0.1:8233';

/** The server that `reprise up` of this config has started, as its record says; asked through the composition root. */
export interface EmbeddedAddress {
  readonly address: string;
  readonly namespace: string;
  readonly webUi: string;
  /** Only the record is left: it was stopped, or has died. */
  readonly stopped?: boolean;
}

export interface TemporalRequest {
  /** `--address` and `--namespace`. */
  readonly address?: string | undefined;
  readonly namespace?: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly config?: Config | undefined;
  /** @throws RepriseError where it cannot be seen whether there is one */
  readonly embedded?: (() => Promise<EmbeddedAddress | null>) | undefined;
}

export interface TemporalSettings {
  readonly address: string;
  readonly namespace: string;
  readonly webUi: string;
  /** Which source the address came from. */
  readonly origin: 'flag' | 'environment' | 'reprise.yml' | 'temporal.toml' | 'reprise up' | 'default';
  readonly connection: ConnectionSecrets;
  /** Where the running `reprise up` of this config listens, when another server was named. */
  readonly insteadOf?: string | undefined;
}

/** What the client and the workers' own connection both take. */
export interface ConnectionSecrets extends Pick<ConnectionOptions, 'tls' | 'metadata'> {
  readonly apiKey?: string | undefined;
}

/** An open connection; whoever opens it closes it. */
export interface TemporalSession {
  readonly client: Client;
  readonly connection: Connection;
  readonly settings: TemporalSettings;
  close(): Promise<void>;
}

/**
 * Finds the Temporal server: flag > environment > reprise.yml > Temporal's own configuration file > the one that
 * `reprise up` of this config has started > 127.0.0.1:7233. Variables and file are those of Temporal's command line.
 * @throws RepriseError `config-invalid` where Temporal's own settings cannot be read; `temporal-unreachable` where the
 * server of `reprise up` is not running, or that cannot be seen: at the default address may be somebody else's
 */
export async function resolveTemporal(request: TemporalRequest): Promise<TemporalSettings> {
  const profile = await temporalProfile(request.env);
  const named = namedAddress(request, profile);
  const recorded = await embeddedOf(request, named !== undefined);
  if (named === undefined && recorded !== null) return ofEmbedded(recorded, request.config);
  const { address, origin } = named ?? { address: DEFAULT_ADDRESS, origin: 'default' as const };
  const settings = { address, namespace: namespaceOf(request, profile), origin, connection: profile.connection };
  const webUi = request.config?.temporal?.webUi ?? DEFAULT_WEB_UI;
  if (recorded === null || recorded.stopped === true) return { ...settings, webUi };
  return recorded.address === address
    ? { ...settings, webUi: recorded.webUi }
    : { ...settings, webUi, insteadOf: recorded.address };
}

/** Where another server was named, nothing depends on whether this can be seen. */
async function embeddedOf({ embedded }: TemporalRequest, named: boolean): Promise<EmbeddedAddress | null> {
  if (embedded === undefined) return null;
  return named ? embedded().catch(() => null) : embedded();
}

/** The server of `reprise up`, which never has a stand-in. */
function ofEmbedded({ stopped, ...embedded }: EmbeddedAddress, config: Config | undefined): TemporalSettings {
  if (stopped !== true) return { ...embedded, origin: 'reprise up', connection: {} };
  const file = config === undefined ? '' : ` --config ${shellWord(config.file)}`;
  throw new RepriseError(
    'temporal-unreachable',
    `the Temporal server that \`reprise up\` started at ${embedded.address} is not running, and no other one is asked instead`,
    `start it: \`reprise up${file}\`; or name another server: --address HOST:PORT, TEMPORAL_ADDRESS, or temporal: { address: ... } in the configuration`,
  );
}

/** The address that was given, and where; undefined where none was. */
function namedAddress(
  { address: flag, env, config }: TemporalRequest,
  profile: Profile,
): Pick<TemporalSettings, 'address' | 'origin'> | undefined {
  const sources = [
    { origin: 'flag', address: flag },
    { origin: 'environment', address: env['TEMPORAL_ADDRESS'] },
    { origin: 'reprise.yml', address: config?.temporal?.address },
    { origin: 'temporal.toml', address: profile.address },
  ] as const;
  for (const { origin, address } of sources) if (address) return { origin, address };
  return undefined;
}

function namespaceOf({ namespace, env, config }: TemporalRequest, profile: Profile): string {
  // An empty variable counts as none.
  return (
    namespace ??
    (env['TEMPORAL_NAMESPACE'] || undefined) ??
    config?.temporal?.namespace ??
    profile.namespace ??
    DEFAULT_NAMESPACE
  );
}

/** What to do where nothing answers: a certificate that one side does not accept looks like a server that is not there. */
function connectionHint({ origin, connection: { tls } }: TemporalSettings): string {
  if (origin === 'reprise up')
    return 'start it again: `reprise down`, then `reprise up`; its log is temporal.log beside embedded.json in the state directory';
  if (tls !== undefined && tls !== null && tls !== false)
    return 'check that the server runs and speaks TLS there, and the certificates: TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_TLS_CLIENT_KEY_PATH, TEMPORAL_TLS_SERVER_CA_CERT_PATH, TEMPORAL_TLS_SERVER_NAME';
  return 'start one: `reprise up`; or set TEMPORAL_ADDRESS to the one that is running; where it asks for TLS: the TEMPORAL_TLS_ variables (docs/security.md)';
}

/** @throws `temporal-unreachable` when nothing answers within 5 s. */
export async function connectTemporal(settings: TemporalSettings): Promise<TemporalSession> {
  const [{ Client }, { openConnection }] = await Promise.all([
    import('@temporalio/client'),
    import('./open-connection.js'),
  ]);
  const options = { address: settings.address, ...settings.connection, connectTimeout: 5000 };
  const connection = await openConnection(options).catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error);
    throw new RepriseError(
      'temporal-unreachable',
      `no Temporal server answers at ${settings.address} (from ${settings.origin})`,
      connectionHint(settings),
      { reason },
    );
  });
  const client = new Client({ connection, namespace: settings.namespace });
  return { client, connection, settings, close: () => connection.close() };
}

/** Page of a workflow's latest run in the Web UI, on the tab with its text. */
export async function operationLink({ client, settings }: TemporalSession, workflowId: string): Promise<string> {
  const description = await client.workflow
    .getHandle(workflowId)
    .describe()
    .catch(() => undefined);
  return webUiLink(settings, workflowId, description?.runId);
}

interface Profile {
  readonly address?: string | undefined;
  readonly namespace?: string | undefined;
  readonly connection: ConnectionSecrets;
}

async function temporalProfile(env: TemporalRequest['env']): Promise<Profile> {
  const { loadClientConnectConfig } = await import('@temporalio/envconfig');
  const defined = Object.fromEntries(
    Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
  try {
    const { connectionOptions, namespace } = loadClientConnectConfig({ overrideEnvVars: defined });
    const { address, tls, apiKey, metadata } = connectionOptions;
    return { address, namespace, connection: { tls, apiKey, metadata } as Profile['connection'] };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new RepriseError(
      'config-invalid',
      `Temporal's own settings cannot be read: ${reason}`,
      'check TEMPORAL_PROFILE, TEMPORAL_CONFIG_FILE and the file they name',
    );
  }
}
