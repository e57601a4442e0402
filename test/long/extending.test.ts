import { describe, expect, it } from '@jest/globals';
import { DocClone } from '../helpers/doc-clone.js';

describe('whoever follows the documents on extending has something that works', () => {
  it('docs/adding-an-engine.md: an engine that passes the whole contract', async () => {
    const clone = await DocClone.create();
    const printed = await clone.type(await clone.follow('docs/adding-an-engine.md', 'engineKinds'));
    expect(printed).toMatch(/Tests: +\d+ passed, \d+ total/);
  }, 2_400_000);
});
