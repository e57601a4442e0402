import { userInfo } from 'node:os';
import type { ClusterConfig, Config, PolicyConfig } from '../domain/config.js';
import { RepriseError } from '../domain/errors.js';
import { withLocalTimes } from '../domain/target/instant.js';
import { oneOf, shellWord, visibleLines } from '../domain/text/text.js';
import type { TemporalSession, TemporalSettings } from '../client/connect.js';
import { printResult } from './terminal/output.js';
import type { OutputFormat } from './terminal/output.js';
import { shownZone } from './common-options.js';
import type { Services } from './services.js';
import type { Screen } from './terminal/tables.js';
import type { Terminal } from './terminal/terminal.js';

/** Options every command takes, before or after its name. */
export interface GlobalOptions {
  readonly config?: string;
  readonly output?: OutputFormat;
  readonly json?: boolean;
  readonly address?: string;
  readonly namespace?: string;
}

/**
 * What a command works with. Everything heavy (configuration, Temporal's client) is loaded when first asked for, so
 * that `reprise version` and `--help` are immediate.
 */
export class Cli {
  private loaded: Promise<Config> | undefined;
  /** Given by the parser before the command runs. */
  globals: GlobalOptions = {};

  constructor(
    readonly services: Services,
    readonly terminal: Terminal,
  ) {}

  get format(): OutputFormat {
    return this.globals.json === true ? 'json' : (this.globals.output ?? 'table');
  }

  config(): Promise<Config> {
    this.loaded ??= this.load();
    return this.loaded;
  }

  /** @throws `not-found` with the name that was probably meant. */
  async cluster(name: string): Promise<ClusterConfig> {
    const { clusters, file } = await this.config();
    const cluster = clusters[name];
    if (cluster !== undefined) return cluster;
    throw await unknownName(`there is no cluster "${name}" in ${file}`, name, Object.keys(clusters), 'clusters');
  }

  /**
   * A policy of a cluster: the one named, or the only one.
   * @throws `not-found`, or `usage` where there are several and none was named.
   */
  async policy(clusterName: string, policyName: string | undefined): Promise<PolicyConfig> {
    const cluster = await this.cluster(clusterName);
    const names = Object.keys(cluster.policies);
    const name = policyName ?? (names.length === 1 ? names[0] : undefined);
    if (name === undefined) {
      const what =
        names.length === 0
          ? `cluster ${clusterName} has no backup policy`
          : `cluster ${clusterName} has several backup policies`;
      throw new RepriseError(
        'usage',
        what,
        names.length === 0 ? 'add one under `backups`' : `name one: ${oneOf('--policy', names)}`,
      );
    }
    const policy = cluster.policies[name];
    if (policy !== undefined) return policy;
    throw await unknownName(`cluster ${clusterName} has no backup policy "${name}"`, name, names, 'policies');
  }

  async temporalSettings(): Promise<TemporalSettings> {
    const { resolveTemporal } = await import('../client/connect.js');
    const config = await this.configIfAny();
    const { address, namespace } = this.globals;
    const embedded = config === undefined ? undefined : () => this.services.embedded(config);
    return resolveTemporal({ address, namespace, env: this.terminal.env, config, embedded });
  }

  /** Runs with an open connection, which is closed whatever happens. */
  async withTemporal<T>(run: (session: TemporalSession) => Promise<T>): Promise<T> {
    const { connectTemporal } = await import('../client/connect.js');
    const settings = await this.temporalSettings();
    if (settings.insteadOf !== undefined && this.showsProgress)
      this.say(
        `asking the Temporal server at ${settings.address} (from ${settings.origin}), not that of \`reprise up\` at ${settings.insteadOf}`,
      );
    const session = await connectTemporal(settings);
    try {
      return await run(session);
    } finally {
      await session.close();
    }
  }

  /** Prints the command's one result; people at a terminal see it as wide as that is. */
  print<T extends object>(document: T, human: (document: T, screen: Screen) => string): Promise<void> {
    return printResult(this.terminal, this.format, document, (view) => human(view, this.screen));
  }

  /** Prints one document of a stream. */
  stream<T extends object>(document: T, human: (document: T, screen: Screen) => string): Promise<void> {
    return printResult(this.terminal, this.format, document, (view) => human(view, this.screen), { stream: true });
  }

  get screen(): Screen {
    const { outColumns } = this.terminal;
    return { columns: outColumns, zone: outColumns === undefined ? undefined : shownZone() };
  }

  /** A plan as text, with local times beside those in UTC, but for the commands in it, which are pasted. */
  planForPeople(text: string): string {
    const { zone } = this.progressScreen;
    const line = (one: string): string => (one.includes('reprise ') ? one : withLocalTimes(one, zone));
    return text.split('\n').map(line).join('\n');
  }

  /** Where progress and errors are shown. */
  get progressScreen(): Screen {
    const { live, columns } = this.terminal;
    return live ? { columns, zone: shownZone() } : {};
  }

  /** A script reads errors from stderr as one document: progress would come before it. A person at a terminal sees both. */
  get showsProgress(): boolean {
    return this.format === 'table' || this.terminal.live;
  }

  /** What to type next, with the options that were given to find configuration and server. */
  command(...words: readonly string[]): string {
    const { config, address, namespace } = this.globals;
    const given = Object.entries({ config, address, namespace }).flatMap(([name, value]) =>
      value === undefined ? [] : [`--${name}`, value],
    );
    return ['reprise', ...words, ...given].map(shellWord).join(' ');
  }

  /** A line for people, on stderr. */
  say(line: string): void {
    this.terminal.err(`${visibleLines(line)}\n`);
  }

  /** Who decides: `--by`, else $REPRISE_BY, else the user of the operating system. */
  person(by: string | undefined): string {
    return by ?? (this.terminal.env['REPRISE_BY'] || undefined) ?? userInfo().username;
  }

  private async load(): Promise<Config> {
    const { loadConfig } = await import('../config/load.js');
    return loadConfig({ file: this.globals.config, env: this.terminal.env });
  }

  /** Commands that name a workflow need no file; a file that was named and is not there, or one that is wrong, is an error. */
  async configIfAny(): Promise<Config | undefined> {
    try {
      return await this.config();
    } catch (error) {
      const named = this.globals.config ?? (this.terminal.env['REPRISE_CONFIG'] || undefined);
      if (named === undefined && (error as { code?: unknown }).code === 'config-not-found') return undefined;
      throw error;
    }
  }
}

/** What to throw for a name that is not in the configuration: the hint has the one that was probably meant. */
export async function unknownName(
  message: string,
  name: string,
  known: readonly string[],
  /** What they are, in the plural. */
  what: string,
): Promise<RepriseError> {
  const { didYouMean } = await import('../config/suggest.js');
  return new RepriseError('not-found', message, didYouMean(name, known, what));
}
