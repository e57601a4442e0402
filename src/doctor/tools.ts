import { join } from 'node:path';
import type { ClusterConfig, PolicyConfig } from '../domain/config.js';
import { engineKinds } from '../engines/registry.js';
import { findPostgresBin } from '../process/exec/find-programs.js';
import { runProgram } from '../process/exec/run-program.js';
import { ok, problem, warning, type Finding } from '../domain/findings.js';
import { knownVulnerability } from './known-vulnerabilities.js';

type EngineTool = NonNullable<(typeof engineKinds)[string]['tools']>[number];

/** Programs the cluster's enabled policies need, with their versions; a client older than the server cannot dump it. */
export async function toolFindings(cluster: ClusterConfig, serverVersion: number | null): Promise<readonly Finding[]> {
  const enabled = Object.values(cluster.policies).filter((policy) => policy.enabled);
  const findings: Finding[] = [];
  for (const tool of toolsOf(enabled)) findings.push(await toolFinding(cluster, tool, serverVersion));
  return findings;
}

/** PostgreSQL and the programs of policies, each with what it prints about its version, or why that is not known. */
export async function programVersions(
  policies: readonly PolicyConfig[],
  major: number | undefined,
): Promise<readonly { readonly name: string; readonly version: string }[]> {
  const server: EngineTool = { program: 'postgres', ofPostgres: true, install: '' };
  const tools = [server, ...toolsOf(policies)];
  return Promise.all(
    tools.map(async (tool) => ({
      name: tool.program,
      version: await versionOf(tool, major).catch(() => 'not known: it cannot be started here'),
    })),
  );
}

/** Programs that policies use, each once. */
function toolsOf(policies: readonly PolicyConfig[]): readonly EngineTool[] {
  const needed = policies.flatMap(({ engine, options }) =>
    (engineKinds[engine]?.tools ?? []).map((tool) => ({ ...tool, program: programOf(tool, options) })),
  );
  return [...new Map(needed.map((tool) => [tool.program, tool])).values()];
}

function programOf({ program, namedBy }: EngineTool, options: Readonly<Record<string, unknown>>): string {
  const named = namedBy === undefined ? undefined : options[namedBy];
  return typeof named === 'string' ? named : program;
}

async function toolFinding(cluster: ClusterConfig, tool: EngineTool, serverVersion: number | null): Promise<Finding> {
  const check = `cluster/${cluster.name}/tools/${tool.program}`;
  const serverMajor = serverVersion === null ? undefined : Math.floor(serverVersion / 10_000);
  let printed: string;
  try {
    printed = await versionOf(tool, serverMajor);
  } catch (error) {
    const why = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    return problem(check, `${tool.program} for cluster ${cluster.name}: ${why}`, tool.install);
  }
  const [, major = '0', minor = '0'] = /(\d+)(?:\.(\d+))?/.exec(printed) ?? [];
  const version = { major: Number(major), minor: Number(minor) };
  if (tool.ofPostgres) return clientFinding(check, cluster, tool, printed, version, serverMajor);
  return tool.oldest !== undefined && isOlder(version, tool.oldest)
    ? problem(check, `${printed} is too old`, `${tool.install}   # ${tool.oldest.join('.')} or newer`)
    : ok(check, printed);
}

/** What the program prints about its version, in one line. */
async function versionOf(tool: EngineTool, serverMajor: number | undefined): Promise<string> {
  const argv = tool.ofPostgres
    ? [join(await findPostgresBin(serverMajor), tool.program), '--version']
    : [tool.program, tool.versionArgument ?? 'version'];
  return (await runProgram(argv)).stdout.replace(/\s+/g, ' ').trim();
}

interface Version {
  readonly major: number;
  readonly minor: number;
}

/** A program of PostgreSQL's own: as new as the server, and without known vulnerabilities. */
function clientFinding(
  check: string,
  { name }: ClusterConfig,
  { program, install }: EngineTool,
  printed: string,
  { major, minor }: Version,
  serverMajor: number | undefined,
): Finding {
  if (serverMajor !== undefined && major < serverMajor)
    return problem(check, `${printed} is older than the server of ${name} (PostgreSQL ${serverMajor})`, install);
  const known = knownVulnerability(program, major, minor);
  if (known === null) return ok(check, printed);
  return warning(
    check,
    `${printed}: ${known.harm} (${known.cve})`,
    `apt-get update && apt-get install --only-upgrade postgresql-client-${major}   # ${major}.${known.floor} or newer`,
  );
}

function isOlder({ major, minor }: Version, [oldestMajor, oldestMinor]: readonly [number, number]): boolean {
  return major < oldestMajor || (major === oldestMajor && minor < oldestMinor);
}
