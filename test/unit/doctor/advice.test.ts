import { expect, it } from '@jest/globals';
import { parseConfig } from '../../../src/config/load.js';
import { clusterFindings } from '../../../src/doctor/cluster.js';
import { tempDir } from '../../helpers/temp.js';

/** The keys that an advice shows: each balanced `name: { ... }` in it. */
function keysIn(fix: string): string[] {
  const found: string[] = [];
  for (const { index } of fix.matchAll(/\b[a-z_]+: \{/g)) {
    if (
      found.some(
        (one) =>
          fix.slice(0, index).endsWith(one) || (fix.indexOf(one) < index && index < fix.indexOf(one) + one.length),
      )
    )
      continue;
    let depth = 0;
    for (let end = index; end < fix.length; end++) {
      depth += fix[end] === '{' ? 1 : fix[end] === '}' ? -1 : 0;
      if (fix[end] === '}' && depth === 0) {
        found.push(fix.slice(index, end + 1));
        break;
      }
    }
  }
  return found;
}

const RECIPIENTS = 'age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p';

it.each([
  ['logical', ''],
  ['basebackup', ''],
  ['logical', 'contacts: { chef: { mail: [chef@example.org] } }\n'],
])('W17: what doctor advises, config check accepts (engine %s)', async (engine, more) => {
  const root = await tempDir('advice');
  const written = (policy: string, cluster: string, top: string) =>
    parseConfig(
      `version: 1
hosts: { db1: { state_dir: ${root} } }
repositories: { local: { type: directory, path: ${root}/b, host: db1 } }
clusters:
  mairie:
    host: db1
    connection: { host: ${root}, user: reprise }
    data_dir: ${root}/data
    databases: [mairie]
    catalogue: local
    backups:
      nightly:
        engine: ${engine}
        repository: local
${policy}${cluster}${top}`,
      `${root}/reprise.yml`,
    ).config;
  const config = written('', '', more);
  const cluster = config.clusters['mairie'];
  if (cluster === undefined) throw new Error('no cluster');
  const advice = (await clusterFindings(config, cluster)).flatMap(({ check, fix }) =>
    fix === undefined || fix === null ? [] : [{ check, fix }],
  );
  const keys = advice.flatMap(({ fix }) => keysIn(fix));
  expect(keys.length).toBeGreaterThan(1);
  const top = keys.filter((key) => /^(?:contacts|repositories):/.test(key));
  const ofPolicy = keys.filter((key) => /^(?:encryption|retention):/.test(key));
  const ofCluster = keys.filter((key) => !top.includes(key) && !ofPolicy.includes(key));
  expect(ofPolicy.some((key) => key.startsWith('encryption'))).toBe(engine === 'logical');
  const filled = (key: string) =>
    key.replace('age1..., age1...', RECIPIENTS).replace('file: ...', 'file: /etc/reprise/key');
  const contacts = top.filter((key) => key.startsWith('contacts'));
  expect(() =>
    written(
      ofPolicy.map((key) => `        ${filled(key)}\n`).join(''),
      ofCluster.map((key) => `    ${key}\n`).join(''),
      more + contacts.map((key) => `${key}\n`).join(''),
    ),
  ).not.toThrow();
});
