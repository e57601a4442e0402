import { execFile } from 'node:child_process';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { tempDir } from './temp.js';

const repository = join(import.meta.dirname, '..', '..');
const run = promisify(execFile);

/** A copy of this repository that a reader of a document changes; the packages are the ones here. */
export class DocClone {
  private constructor(readonly root: string) {}

  static async create(): Promise<DocClone> {
    const root = await tempDir('clone');
    await run('cp', [
      '-a',
      ...[
        'src',
        'test',
        'scripts',
        'package.json',
        'tsconfig.json',
        'tsconfig.test.json',
        'jest.config.js',
        '.dependency-cruiser.cjs',
      ].map((name) => join(repository, name)),
      root,
    ]);
    await symlink(join(repository, 'node_modules'), join(root, 'node_modules'));
    return new DocClone(root);
  }

  /**
   * Does what a document says: a block after "`PATH`:" becomes that file, and the blocks after "In `PATH`, ..." go into
   * that file, the first below its imports, each further one at the head of the object `registry`.
   * @returns the document's shell blocks
   */
  async follow(document: string, registry: string): Promise<readonly string[]> {
    const text = await readFile(join(repository, document), 'utf8');
    let edited: string | null = null;
    const shell: string[] = [];
    for (const [whole, , language, code = ''] of text.matchAll(/(^|\n)```(\w+)\n([\s\S]*?)\n```/g)) {
      const before = text.slice(0, text.indexOf(whole)).trimEnd();
      const file = /(?:^|\n)`([^`]+)`[^\n`]*:$/.exec(before)?.[1];
      const target = /In `([^`]+)`[^`]*`[^`]*`:$/.exec(before)?.[1];
      if (language === 'sh') shell.push(code);
      else if (file !== undefined) await this.write(file, `${code}\n`);
      else if (target !== undefined) await this.edit((edited = target), (source) => `${code}\n${source}`);
      else if (edited !== null)
        await this.edit(edited, (source) =>
          source.replace(new RegExp(`(export const ${registry}\\b[^\\n]*\\{\\n)`), (head) => `${head}${code}\n`),
        );
      else throw new Error(`${document} does not say where this block goes:\n${code}`);
    }
    return shell;
  }

  /** Types the commands, stopping at the first that fails; returns what they printed. */
  async type(blocks: readonly string[]): Promise<string> {
    const { NODE_OPTIONS: _node, ...env } = process.env;
    const { stdout, stderr } = await run('bash', ['-euo', 'pipefail', '-c', blocks.join('\n')], {
      cwd: this.root,
      env,
      maxBuffer: 64 * 1024 * 1024,
    }).catch((error: { stdout?: string; stderr?: string }) => {
      throw new Error(`the document's commands failed:\n${error.stdout ?? ''}${error.stderr ?? ''}`.slice(-6000));
    });
    return stdout + stderr;
  }

  private async write(file: string, text: string): Promise<void> {
    await mkdir(dirname(join(this.root, file)), { recursive: true });
    await writeFile(join(this.root, file), text);
  }

  private async edit(file: string, change: (source: string) => string): Promise<void> {
    const source = await readFile(join(this.root, file), 'utf8');
    const changed = change(source);
    if (changed === source) throw new Error(`${file} has no place for what the document adds`);
    await this.write(file, changed);
  }
}
