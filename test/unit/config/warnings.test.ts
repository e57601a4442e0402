import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { loadConfig } from '../../../src/config/load.js';
import { configFileFindings } from '../../../src/doctor/files.js';
import { parsed, valid, with_ } from './given.js';

const warned = (text: string) => parsed(text).warnings.map(({ place, message }) => `${place}: ${message}`);

describe('what is accepted and does nothing is said to do nothing', () => {
  it.each([
    [
      'language: fr',
      with_('version: 1', 'version: 1\nlanguage: fr'),
      'reprise.yml:2:11: French is not available yet: reports and messages are in English',
    ],
    [
      'an address without a notifier',
      `${valid}contacts: { dba: { mail: [dba@example.org], pagerduty: x } }\n`,
      'reprise.yml:10:45: nothing is sent to the pagerduty address of dba: there is no notifier pagerduty',
    ],
    [
      'a hook that no step has the name of',
      with_('databases:', 'hooks: { vacuum: { argv: [x] } }\n    databases:'),
      'reprise.yml:6:14: the hook vacuum never runs',
    ],
    [
      'a hook that is not among the steps',
      with_(
        'databases:',
        'hooks: { stop-applications: { argv: [x] } }\n    recovery: { steps: [restore] }\n    databases:',
      ),
      'reprise.yml:6:14: the hook stop-applications never runs',
    ],
    [
      'a hook with the host of another machine',
      with_(
        'databases:',
        'host: db1\n    hooks: { stop-applications: { argv: [x], host: db2 }, start-applications: { argv: [y], host: db1 } }\n    databases:',
      ) + 'hosts: { db1: {}, db2: {} }\nrepositories: { local: { type: directory, path: backups, host: db1 } }\n',
      'reprise.yml:7:46: host of the hook stop-applications has no effect: hooks run on the host of the cluster, db1',
    ],
  ])('%s', (_, text, warning) => {
    expect(warned(text)).toEqual([warning]);
  });

  it('language: en, hooks that undo others, addresses with a notifier: no warning', () => {
    const hooks = 'hooks: { stop-applications: { argv: [x], undo: back }, back: { argv: [y] } }\n    databases:';
    const slack = 'notifiers: { slack: { type: webhook, url: "https://x.example.org", secret: { env: S } } }\n';
    expect(warned(`${with_('databases:', hooks)}language: en\ncontacts: { ops: { slack: "#ops" } }\n${slack}`)).toEqual(
      [],
    );
  });

  it('doctor tells them too', async () => {
    const [finding] = await configFileFindings(parsed(with_('version: 1', 'version: 1\nlanguage: fr')));
    expect(finding).toEqual({
      check: 'config/language',
      level: 'warning',
      message: 'reprise.yml:2:11: French is not available yet: reports and messages are in English',
      fix: 'write language: en, or remove the line',
    });
  });

  it('no example has any', async () => {
    const folder = join(import.meta.dirname, '../../../examples');
    for (const file of await readdir(folder))
      expect({ file, warnings: (await loadConfig({ file: join(folder, file) })).warnings }).toEqual({
        file,
        warnings: [],
      });
  });

  it('they are no part of the digest, nor is the language', () => {
    const { digest } = parsed(valid);
    expect(parsed(with_('version: 1', 'version: 1\nlanguage: fr')).digest).toBe(digest);
  });
});
