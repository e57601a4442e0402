import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { parseConfig, type LoadedConfig } from '../../../src/config/load.js';
import { showConfig } from '../../../src/config/show.js';
import { canonicalJson } from '../../../src/domain/text/canonical-json.js';
import { golden } from '../../helpers/golden.js';

const examples = join(import.meta.dirname, '../../../examples');
const names = (await readdir(examples)).filter((name) => name.endsWith('.yml'));

const loaded = (text: string): LoadedConfig => {
  const label = 'reprise.yml';
  return { ...parseConfig(text, `/etc/reprise/${label}`, label), label, chosenBy: 'default' };
};

describe('what a file means is the same in every version', () => {
  it.each([...names.map((name) => [name, examples]), ['everything.yml', join(import.meta.dirname, 'golden')]])(
    '%s: shown with defaults and origins, and in the terms of the program',
    async (name = '', folder = '') => {
      const text = await readFile(join(folder, name), 'utf8');
      const config = loaded(text);
      const shown = showConfig(config, { origin: true });
      expect(shown).toBe(await golden(new URL(`golden/${name}.shown`, import.meta.url), shown));
      const read = `${JSON.stringify(JSON.parse(canonicalJson(config.config)), null, 1)}\n`;
      expect(read).toBe(await golden(new URL(`golden/${name}.json`, import.meta.url), read));
    },
  );
});
