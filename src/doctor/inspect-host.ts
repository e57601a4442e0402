import type { Config } from '../domain/config.js';
import { RepriseError } from '../domain/errors.js';
import { collectFindings, type Finding } from '../domain/findings.js';
import { clusterFindings } from './cluster.js';
import { configFileFindings } from './files.js';
import { leftClusterFindings } from './left-behind.js';
import { machineFindings } from './machine.js';
import { repositoryFindings } from './repository.js';
import { sharedPathFindings } from './shared-paths.js';
import { recordFindings } from './space.js';
import { stagingFindings } from './staging.js';

/**
 * What this machine, as the named host of the config, finds about itself: programs, rights, repositories, clusters. Needs
 * neither Temporal nor a worker. Changes nothing, but for an empty file made and removed in each repository.
 * @throws `not-found` for a host the config does not have.
 */
export async function inspectHost(config: Config, hostName: string): Promise<readonly Finding[]> {
  const host = config.hosts[hostName];
  if (host === undefined)
    throw new RepriseError(
      'not-found',
      `there is no host "${hostName}" in the config`,
      `hosts: ${Object.keys(config.hosts).join(', ')}`,
    );
  const clusters = Object.values(config.clusters).filter((cluster) => cluster.host === hostName);
  // Evidence of drills goes to the catalogue; what they restore is only read.
  const drilled = Object.values(config.clusters).filter(({ drill }) => drill?.host === hostName);
  const used = new Set([
    ...clusters.flatMap(({ policies }) => Object.values(policies).map(({ repository }) => repository)),
    ...[...clusters, ...drilled].map(({ catalogue }) => catalogue),
  ]);
  const repositories = Object.values(config.repositories).filter(
    ({ name, host: owner }) => owner === hostName || (owner === undefined && used.has(name)),
  );
  const found = await Promise.all([
    collectFindings(`host/${hostName}`, () => machineFindings(config, host)),
    collectFindings('config/file', () => configFileFindings(config)),
    collectFindings(`host/${hostName}/paths`, () => sharedPathFindings({ config, host, clusters, repositories })),
    ...repositories.map((repository) =>
      collectFindings(`repository/${repository.name}`, () => repositoryFindings(repository, host)),
    ),
    ...repositories.map((repository) =>
      collectFindings(`repository/${repository.name}/clusters`, () => leftClusterFindings(config, repository)),
    ),
    ...clusters.map((cluster) => collectFindings(`cluster/${cluster.name}`, () => clusterFindings(config, cluster))),
    collectFindings('drills', () => stagingFindings(config, hostName, Object.values(config.clusters))),
    collectFindings('space', () => recordFindings(config, clusters)),
  ]);
  return once(found.flat());
}

/** The same thing once: of a directory that is another user's that is not said again of the path to it. */
export function once(findings: readonly Finding[]): readonly Finding[] {
  const isOwner = ({ message }: Finding): boolean => message.includes('belongs to user');
  const foreign = new Set(findings.filter(isOwner).map(({ check }) => check));
  const said = new Set<string>();
  return findings.filter((finding) => {
    const { check, level, message } = finding;
    if (isOwner(finding) && check.endsWith('/path') && foreign.has(check.slice(0, -'/path'.length))) return false;
    if (level === 'ok') return true;
    const text = `${level} ${message}`;
    if (said.has(text)) return false;
    said.add(text);
    return true;
  });
}
