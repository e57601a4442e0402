import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { waitingLink, waitingQuery, webUiLink } from '../../../src/domain/operation/names.js';

describe('O14: the Web UI', () => {
  const place = { webUi: 'http://127.0.0.1:8233/', namespace: 'default' };

  it('the query for what waits for a person stands in the docs', () => {
    const page = readFileSync(new URL('../../../docs/debugging.md', import.meta.url), 'utf8');
    expect(page.split('\n')).toContain(waitingQuery);
    expect(decodeURIComponent(new URL(waitingLink(place)).search)).toBe(`?query=${waitingQuery}`);
  });

  it('a link opens the tab with the text where the run is known, else the page that finds it', () => {
    const page = 'http://127.0.0.1:8233/namespaces/default/workflows/recover%2Fmairie%2Fx';
    expect(webUiLink(place, 'recover/mairie/x', 'r1')).toBe(`${page}/r1/user-metadata`);
    expect(webUiLink(place, 'recover/mairie/x')).toBe(page);
  });
});
