import { join } from 'node:path';
import type { ClusterConfig } from '../domain/config.js';
import type { Finding } from '../domain/findings.js';
import { engineKinds } from '../engines/registry.js';
import { findPostgresBin } from '../process/exec/find-programs.js';
import { runProgram } from '../process/exec/run-program.js';
import { ok, warning, wrong } from './finding.js';
import { knownHole } from './known-holes.js';

type EngineTool = NonNullable<(typeof engineKinds)[string]['tools']>[number];

/** Programs the cluster's enabled policies need, with their versions; a client older than the server cannot dump it. */
export async function toolFindings(cluster: ClusterConfig, serverVersion: number | null): Promise<readonly Finding[]> {
  const needed = Object.values(cluster.policies)
    .filter(({ enabled }) => enabled)
    .flatMap(({ engine, options }) =>
      (engineKinds[engine]?.tools ?? []).map((tool) => ({ ...tool, program: programOf(tool, options) })),
    );
  const byProgram = new Map(needed.map((tool) => [tool.program, tool]));
  const findings: Finding[] = [];
  for (const tool of byProgram.values()) findings.push(await toolFinding(cluster, tool, serverVersion));
  return findings;
}

function programOf({ program, namedBy }: EngineTool, options: Readonly<Record<string, unknown>>): string {
  const named = namedBy === undefined ? undefined : options[namedBy];
  return typeof named === 'string' ? named : program;
}

async function toolFinding(cluster: ClusterConfig, tool: EngineTool, serverVersion: number | null): Promise<Finding> {
  const check = `cluster/${cluster.name}/tools/${tool.program}`;
  const major = serverVersion === null ? undefined : Math.floor(serverVersion / 10_000);
  let said: string;
  try {
    const program = tool.ofPostgres ? join(await findPostgresBin(major), tool.program) : tool.program;
    said = (await runProgram([program, tool.ofPostgres ? '--version' : (tool.versionArgument ?? 'version')])).stdout
      .replace(/\s+/g, ' ')
      .trim();
  } catch (error) {
    const why = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    return wrong(check, `${tool.program} for cluster ${cluster.name}: ${why}`, tool.install);
  }
  const [, found = '0', minor = '0'] = /(\d+)(?:\.(\d+))?/.exec(said) ?? [];
  if (tool.ofPostgres && major !== undefined && Number(found) < major) {
    return wrong(check, `${said} is older than the server of ${cluster.name} (PostgreSQL ${major})`, tool.install);
  }
  const { oldest } = tool;
  if (
    oldest !== undefined &&
    (Number(found) < oldest[0] || (Number(found) === oldest[0] && Number(minor) < oldest[1]))
  ) {
    return wrong(check, `${said} is too old`, `${tool.install}   # ${oldest.join('.')} or newer`);
  }
  const hole = tool.ofPostgres ? knownHole(tool.program, Number(found), Number(minor)) : null;
  if (hole === null) return ok(check, said);
  return warning(
    check,
    `${said}: ${hole.harm} (${hole.cve})`,
    `apt-get update && apt-get install --only-upgrade postgresql-client-${found}   # ${found}.${hole.floor} or newer`,
  );
}
