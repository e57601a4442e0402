import { existsSync } from 'node:fs';
import { readFile, readdir } from 'node:fs/promises';
import { basename, join, relative, sep } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { repriseHere, words } from '../../helpers/cli.js';

const root = join(import.meta.dirname, '../../..');

/** Commands in shell blocks and in code spans of one line, as far as they are whole. */
function commandsIn(text: string): readonly string[] {
  const blocks = [...text.matchAll(/^```sh\n([\s\S]*?)^```/gm)].flatMap((match) => (match[1] ?? '').split('\n'));
  const spans = [...text.matchAll(/`(reprise [^`\n]+)`/g)].map((match) => match[1] ?? '');
  return [...blocks, ...spans]
    .map((line) =>
      line
        .replace(/\s+#.*$/, '')
        .replace(/ \|\| .*$/, '')
        .trim(),
    )
    .filter((line) => line.startsWith('reprise ') && !/ [A-Z_]+=|\.\.\.$|<|\|/.test(line));
}

async function documents(): Promise<readonly (readonly [name: string, text: string])[]> {
  const inDocs = (await readdir(join(root, 'docs'), { recursive: true }))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`);
  const ofRoot = ['README.md', 'README.fr.md', 'CONTRIBUTING.md', 'SECURITY.md'];
  const names = [...ofRoot, ...inDocs.filter((name) => !name.startsWith('docs/reference/'))];
  return Promise.all(names.map(async (name) => [name, await readFile(join(root, name), 'utf8')] as const));
}

describe('D6: commands in documents', () => {
  it('each is one that the command line takes', async () => {
    const refused: string[] = [];
    let seen = 0;
    for (const [name, text] of await documents()) {
      for (const command of commandsIn(text)) {
        seen += 1;
        const { code, stderr } = await repriseHere(words(command).slice(1));
        if (code === 2) refused.push(`${name}: ${command}: ${stderr}`);
      }
    }
    expect(refused).toEqual([]);
    expect(seen).toBeGreaterThan(50);
  });

  it('each path in code spans for developers is one of this repository', async () => {
    const missing: string[] = [];
    for (const [name, text] of await documents()) {
      if (!/^CONTRIBUTING|architecture|decisions/.test(name)) continue;
      for (const [, path = ''] of text.matchAll(/`((?:[\w.-]+\/)+[\w.-]+\.ts|(?:[\w.-]+\/){2,})`/g)) {
        if (!existsSync(join(root, path)) && !existsSync(join(root, 'src', path))) missing.push(`${name}: ${path}`);
      }
    }
    expect(missing).toEqual([]);
  });

  it('each room of src and each of its folders is in docs/architecture.md', async () => {
    const text = await readFile(join(root, 'docs/architecture.md'), 'utf8');
    const rooms = await readdir(join(root, 'src'), { recursive: true, withFileTypes: true });
    const folders = rooms.filter((entry) => entry.isDirectory()).map(({ parentPath, name }) => join(parentPath, name));
    const depth = (folder: string): number => relative(join(root, 'src'), folder).split(sep).length;
    // Folders of these rooms follow from their names.
    const listed = folders.filter(
      (folder) => depth(folder) === 1 || !/src.(cli|client|config|demo|domain)/.test(folder),
    );
    expect(listed.map((folder) => `${basename(folder)}/`).filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
  });

  it('each link leads to a file that is there', async () => {
    const broken: string[] = [];
    for (const [name, text] of await documents()) {
      for (const [, target = ''] of text.matchAll(/\]\((?!https?:)([^)#]+)/g)) {
        const file = join(root, name, '..', target);
        await readFile(file).catch(
          (error: NodeJS.ErrnoException) => error.code === 'EISDIR' || broken.push(`${name}: ${target}`),
        );
      }
    }
    expect(broken).toEqual([]);
  });
});
