import { readFile, realpath, stat } from 'node:fs/promises';
import type pg from 'pg';
import type { ConnectionConfig } from '../../domain/config.js';
import { withMaintenance } from '../connection/with-client.js';

/** A configuration file as it was when its backup was taken. */
export interface ConfigurationFile {
  readonly path: string;
  /** Permission bits. */
  readonly mode: number;
  readonly text: string;
}
export interface NotCaptured {
  readonly path: string;
  readonly reason: string;
}
/** Where a server keeps its configuration outside its data directory, and what it contains. */
export interface Configuration {
  readonly dataDirectory: string;
  /** `config_file`, `hba_file` and `ident_file`, wherever they are. */
  readonly main: Readonly<Record<string, string>>;
  readonly files: readonly ConfigurationFile[];
  /** Of certificates and keys, only where they are: no private key is ever read. */
  readonly certificates: readonly string[];
  readonly notCaptured: readonly NotCaptured[];
}

const MAIN = ['config_file', 'hba_file', 'ident_file'];
const CERTIFICATES = [
  'ssl_cert_file',
  'ssl_key_file',
  'ssl_ca_file',
  'ssl_crl_file',
  'ssl_crl_dir',
  'ssl_dh_params_file',
  'krb_server_keyfile',
];
/** No configuration is longer; what is, is something else. */
const MOST_BYTES = 1_000_000;

/**
 * Reads what a running server's configuration consists of outside its data directory, included files too; what is inside
 * is in every physical backup. What the role or this process may not read is named with its reason.
 * @throws those of {@link withClient}
 */
export async function readConfiguration(connection: ConnectionConfig): Promise<Configuration> {
  const { settings, included, reason } = await withMaintenance(connection, async (client) => ({
    settings: await settingsOf(client),
    ...(await includedFiles(client)),
  }));
  const dataDirectory = settings.get('data_directory') ?? '';
  if (dataDirectory === '') {
    return {
      dataDirectory,
      main: {},
      files: [],
      certificates: [],
      notCaptured: [
        { path: 'config_file', reason: `${connection.user} may not read it: GRANT pg_read_all_settings TO the role` },
      ],
    };
  }
  const isOutside = await outsideOf(dataDirectory);
  const main = Object.fromEntries(
    MAIN.flatMap((name) => (settings.get(name) ? [[name, settings.get(name) ?? '']] : [])),
  );
  const files: ConfigurationFile[] = [];
  const notCaptured: NotCaptured[] = reason === null ? [] : [{ path: 'included files', reason }];
  for (const path of new Set([...Object.values(main), ...included])) {
    if (!(await isOutside(path))) continue;
    const found = await readOne(path);
    if ('text' in found) files.push(found);
    else notCaptured.push(found);
  }
  const certificates = CERTIFICATES.flatMap((name) => settings.get(name) || []).filter(
    (path) => path.startsWith('/') && !path.startsWith(`${dataDirectory}/`),
  );
  return { dataDirectory, main, files, certificates: [...new Set(certificates)], notCaptured };
}

async function settingsOf(client: pg.ClientBase): Promise<Map<string, string>> {
  const { rows } = await client.query<{ name: string; setting: string }>(
    'SELECT name, setting FROM pg_settings WHERE name = ANY ($1)',
    [['data_directory', ...MAIN, ...CERTIFICATES]],
  );
  return new Map(rows.map(({ name, setting }) => [name, setting]));
}

/** Every file from which a setting comes: a role that is no superuser may lack the right to read it. */
async function includedFiles(client: pg.ClientBase): Promise<{ included: readonly string[]; reason: string | null }> {
  try {
    const { rows } = await client.query<{ path: string }>(
      'SELECT DISTINCT sourcefile AS path FROM pg_file_settings WHERE sourcefile IS NOT NULL ORDER BY 1',
    );
    return { included: rows.map(({ path }) => path), reason: null };
  } catch (error) {
    return {
      included: [],
      reason: `${(error as Error).message}: GRANT SELECT ON pg_file_settings and EXECUTE ON FUNCTION pg_show_all_file_settings() TO the role`,
    };
  }
}

async function outsideOf(dataDirectory: string): Promise<(path: string) => Promise<boolean>> {
  const real = await realpath(dataDirectory).catch(() => dataDirectory);
  return async (path) => {
    const found = await realpath(path).catch(() => path);
    return ![path, found].some((one) => one.startsWith(`${dataDirectory}/`) || one.startsWith(`${real}/`));
  };
}

async function readOne(path: string): Promise<ConfigurationFile | NotCaptured> {
  try {
    const { size, mode } = await stat(path);
    if (size > MOST_BYTES) return { path, reason: `it is longer than ${MOST_BYTES} bytes` };
    return { path, mode: mode & 0o777, text: await readFile(path, 'utf8') };
  } catch (error) {
    return { path, reason: `it cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'})` };
  }
}
