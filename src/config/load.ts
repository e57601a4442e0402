import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { dirname, relative, resolve } from 'node:path';
import type { Config } from '../domain/config.js';
import { RepriseError } from '../domain/errors.js';
import { canonicalJson } from '../domain/text/canonical-json.js';
import { crossCheck } from './cross-check.js';
import { validate } from './issues.js';
import { knownNames } from './known-names.js';
import { configCandidates, namedConfig } from './places.js';
import { configInvalid, type Problem } from './problem.js';
import { configSchema, type ConfigText } from './schema/schema.js';
import { resolveDefaults } from './resolve-defaults.js';
import { parseSource, type Source } from './source.js';
import { warningsOf } from './warnings.js';

export interface LoadOptions {
  /** `--config`. */
  readonly file?: string;
  /** Default: the process's own. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
}

/** A configuration with what `config show` needs besides: the file's own words and where each of them is. */
export interface LoadedConfig {
  readonly config: Config;
  /** In the file's own words, every default filled in. */
  readonly text: ConfigText;
  readonly source: Source;
  /** The file as messages name it: relative where it is below the working directory. */
  readonly label: string;
  /** Who named the file. */
  readonly chosenBy: 'flag' | 'environment' | 'default';
}

/**
 * Finds, reads and validates the configuration: `--config`, else `$REPRISE_CONFIG`, else `./reprise.yml`, else
 * `/etc/reprise/reprise.yml`. Throws `config-not-found`, or `config-invalid` with every problem of the file.
 */
export async function loadConfig(options: LoadOptions = {}): Promise<Config> {
  return (await readConfig(options)).config;
}

/** As {@link loadConfig}, with the file's own words and positions. */
export async function readConfig({
  file,
  env = process.env,
  cwd = process.cwd(),
}: LoadOptions = {}): Promise<LoadedConfig> {
  const found = await findConfig(file, env, cwd);
  const below = relative(cwd, found.file);
  const label = below.startsWith('..') ? found.file : below;
  return { ...parseConfig(decode(found.bytes, label), found.file, label), label, chosenBy: found.chosenBy };
}

/** Validates a configuration's text as if it were in `file` (absolute; relative paths count from its folder). */
export function parseConfig(
  yaml: string,
  file: string,
  label = file,
): Pick<LoadedConfig, 'config' | 'text' | 'source'> {
  const source = parseSource(yaml);
  if (source.problems.length > 0) throw configInvalid(label, source.problems);
  const refuse = (problems: readonly Problem[]) => {
    if (problems.length > 0) throw configInvalid(label, problems.map(source.place));
  };
  const schema = configSchema(knownNames(source.value));
  // What was written is checked first, so that every problem has its place; what counts is read with all defaults.
  refuse(validate(schema, source.value).problems);
  const { text, problems } = resolveDefaults(schema, source.value as ConfigText, dirname(file));
  refuse(problems);
  const read = validate(schema, text);
  refuse(read.problems);
  if (!read.value) throw new RepriseError('internal', `${label}: neither valid nor invalid`);
  // The path of the file is not part of it: the same file on two hosts is the same configuration. Nor is the language: nothing is done otherwise.
  const { language: _language, ...counted } = read.value;
  const digest = createHash('sha256').update(canonicalJson(counted)).digest('hex');
  const config = { file, ...read.value, digest };
  refuse(crossCheck(config));
  const warnings = warningsOf(config)
    .map(source.place)
    .map(({ path, line, column, message, hint = '' }) => ({
      key: path.join('.'),
      place: `${label}:${line}:${column}`,
      message,
      hint,
    }));
  return { config: { ...config, warnings }, text, source };
}

interface FoundFile extends Pick<LoadedConfig, 'chosenBy'> {
  readonly file: string;
  readonly bytes: Buffer;
}

async function findConfig(
  flag: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
  cwd: string,
): Promise<FoundFile> {
  const named = namedConfig(flag, env);
  const chosenBy = flag !== undefined ? 'flag' : named !== undefined ? 'environment' : 'default';
  for (const candidate of configCandidates(flag, env)) {
    const file = resolve(cwd, candidate);
    const bytes = await readIfThere(file);
    if (bytes) return { file, bytes, chosenBy };
  }
  throw new RepriseError(
    'config-not-found',
    named === undefined
      ? 'there is no configuration: neither ./reprise.yml nor /etc/reprise/reprise.yml'
      : `the configuration ${named} does not exist`,
    'create one (start from examples/minimal.yml), or name it with --config FILE or $REPRISE_CONFIG',
  );
}

async function readIfThere(file: string): Promise<Buffer | undefined> {
  try {
    return await readFile(file);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw new RepriseError(
      'config-invalid',
      `the configuration ${file} cannot be read: ${code}`,
      'check that it is a file and may be read by this user',
    );
  }
}

function decode(bytes: Buffer, label: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw configInvalid(label, [{ path: [], line: 1, column: 1, message: 'the file is not UTF-8 text' }]);
  }
}
