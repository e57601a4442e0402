import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { parseConfig, type LoadedConfig, readConfig } from '../../../src/config/load.js';
import { configOrigins, resolvedConfig, showConfig } from '../../../src/config/show.js';
import { valid, with_ } from './given.js';

const loaded = (text: string): LoadedConfig => ({
  ...parseConfig(text, '/etc/reprise/reprise.yml', 'reprise.yml'),
  label: 'reprise.yml',
  chosenBy: 'flag',
});

describe('config show', () => {
  it('prints the whole, resolved, as a config that means the same', async () => {
    const shown = await readConfig({ file: join(import.meta.dirname, '../../../examples/mairie.yml') });
    const again = parseConfig(showConfig(shown, { origin: true }), '/elsewhere/reprise.yml').config;
    expect(again.digest).toBe(shown.config.digest);
    const { hosts, clusters } = resolvedConfig(loaded(valid)) as {
      hosts: unknown;
      clusters: { mairie: { catalogue: unknown } };
    };
    expect(hosts).toEqual({
      local: {
        state_dir: '/var/lib/reprise',
        scratch_dir: '/var/lib/reprise/scratch',
        ...{ heavy_slots: 1, recovery_slots: 1, media_slots: 1 },
      },
    });
    expect(clusters.mairie.catalogue).toBe('local');
  });

  it('prints a default also where the value is read as something else: a size, a length of time', () => {
    const parts =
      'repositories:\n  photos: { type: directory, path: /photos }\n  local: { type: directory, path: /backups }\n' +
      'media:\n  photos: { repository: photos, cluster: mairie }\n';
    const text = with_('engine: logical\n', `engine: logical\n        repository: local\n${parts}`);
    expect(resolvedConfig(loaded(text))).toMatchObject({
      media: { photos: { prefix: '', concurrency: 16, multipart_copy_above: '5GiB' } },
    });
    expect(showConfig(loaded(text), { origin: true })).toContain('multipart_copy_above: 5GiB # default\n');
  });

  it('says of each value where it comes from', () => {
    const overrides = [{ path: ['temporal', 'address'], value: 'there:7233', origin: 'environment' as const }];
    const origins = configOrigins(loaded(valid), overrides);
    expect(origins).toMatchObject({
      version: 'reprise.yml:1',
      language: 'default',
      'temporal.address': 'environment',
      'clusters.mairie.connection.user': 'reprise.yml:4',
      'clusters.mairie.connection.port': 'default',
      'clusters.mairie.databases.0': 'reprise.yml:6',
      'clusters.mairie.backups.dump.engine': 'reprise.yml:9',
      'clusters.mairie.backups.dump.retention.days': 'default',
    });
    const text = showConfig(loaded(valid), { origin: true, overrides });
    expect(text.split('\n')[0]).toBe('# /etc/reprise/reprise.yml (flag)');
    expect(text).toContain('\n  address: there:7233 # environment\n');
    expect(text).toContain('\n      user: reprise # reprise.yml:4\n');
    expect(text).toContain('\n      port: 5432 # default\n');
    expect(Object.keys(parse(text) as object)).toContain('clusters');
  });

  it('F39: what looks like a secret is never printed', () => {
    const canary = 'hunter2';
    const argv = [
      ['curl', '-H', `Authorization: Bearer ${canary}`],
      ['curl', `https://user:${canary}@example.org/`],
      ['x', '--password', canary],
      ['x', `--api-key=${canary}`],
      ['x', `PGPASSWORD=${canary}`],
      ['sh', '-c', `export SECRET=${canary}; run`],
    ];
    const hooks = argv.map((words, index) => `      h${index}: { argv: ${JSON.stringify(words)} }\n`).join('');
    const text =
      with_('    databases', `    hooks:\n${hooks}    databases`) +
      `contacts: { ops: { slack: "https://hooks.slack.com/services/T0/${canary}" } }\n`;
    const config = loaded(text);
    const everything = [
      showConfig(config),
      showConfig(config, { origin: true }),
      JSON.stringify(resolvedConfig(config)),
      JSON.stringify(configOrigins(config)),
    ];
    for (const output of everything) expect(output).not.toContain(canary);
    expect(everything[0]).toContain('https://user:***@example.org/');
    expect(everything[0]).toContain('reprise');
  });

  it('F39: a password in the file is refused without repeating it', () => {
    for (const text of [
      with_('user: reprise', 'user: x, password: hunter2'),
      with_('user: reprise', 'user: x, pasword: hunter2'),
      with_('user: reprise', 'user: [hunter2]'),
    ]) {
      let told = '';
      try {
        parseConfig(text, '/x.yml');
      } catch (error) {
        told = JSON.stringify([String(error), error]);
      }
      expect(told).toContain('config-invalid');
      expect(told).not.toContain('hunter2');
    }
  });
});
