import { parseConfig } from '../../../src/config/load.js';
import type { Config } from '../../../src/domain/config.js';
import { isRepriseError } from '../../../src/domain/errors.js';

/** The least that is valid; the tests change one thing in it. Line 9 is the policy's engine. */
export const valid = `version: 1
clusters:
  mairie:
    connection: { user: reprise }
    data_dir: /data
    databases: [mairie]
    backups:
      dump:
        engine: logical
`;

export const parsed = (text: string): Config => parseConfig(text, '/etc/reprise/reprise.yml', 'reprise.yml').config;

/** The valid config with a text in place of another; fails where there is nothing to replace. */
export function with_(search: string, replacement: string, text = valid): string {
  if (!text.includes(search)) throw new Error(`nothing to replace: ${search}`);
  return text.replace(search, () => replacement);
}

/** What a reader is told, line by line, the hint last; fails where the config is accepted. */
export function complaint(text: string): string[] {
  try {
    parsed(text);
  } catch (error) {
    if (!isRepriseError(error) || error.code !== 'config-invalid') throw error;
    return [...error.message.split('\n'), ...(error.hint === undefined ? [] : [`HINT ${error.hint}`])];
  }
  throw new Error(`accepted:\n${text}`);
}
