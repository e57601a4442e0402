import { spawn } from 'node:child_process';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { asPostgres } from './postgres-user.js';

const repository = join(import.meta.dirname, '..', '..');

/** The fenced blocks of a document or of one of its chapters (`##`), in their order. */
export async function blocksOf(
  document: string,
  language: 'sh' | 'yaml',
  chapter?: string,
): Promise<readonly string[]> {
  const whole = await readFile(join(repository, document), 'utf8');
  const text = chapter === undefined ? whole : (whole.split(`\n## ${chapter}\n`)[1]?.split('\n## ')[0] ?? '');
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'gm'))].map(
    (match) => match[1] ?? '',
  );
}

export interface Reader {
  /** Working directory: the reader's folder. */
  readonly cwd: string;
  /** Where plans lie: `recover/mairie/ID` in a document stands for the newest recovery. */
  readonly stateDir: string;
  /** What a document says, and what it is on this machine. */
  readonly here: readonly (readonly [said: string, is: string])[];
  /** Whether the reader is the owner of the data directory. */
  readonly asPostgres?: boolean;
}

/** What is different on this machine, put into a text. */
export function asHere(text: string, { here }: Pick<Reader, 'here'>): string {
  return here.reduce((all, [said, is]) => all.replaceAll(said, is), text);
}

/**
 * Types shell blocks as a reader would: in one bash, in their order, stopping at the first command that fails.
 * Returns all that was printed. Throws with it where a command failed.
 */
export async function typeIn(blocks: readonly string[], reader: Reader): Promise<string> {
  const bin = join(reader.cwd, '.bin');
  await mkdir(bin, { recursive: true });
  await writeFile(
    join(bin, 'reprise'),
    `#!/bin/sh\nexec ${process.execPath} ${join(repository, 'dist/main.js')} "$@"\n`,
  );
  await chmod(join(bin, 'reprise'), 0o755);
  const newest = `newest() { cat "$(ls -t '${reader.stateDir}'/plans/*.json | head -n 1)" | ${process.execPath} -e 'const plan = JSON.parse(require("node:fs").readFileSync(0)); console.log("recover/" + plan.binding.cluster + "/" + plan.binding.operationId)'; }`;
  const typed = asHere(blocks.join('\n'), reader).replaceAll('recover/mairie/ID', '"$(newest)"');
  const { PGHOST: _host, PGPORT: _port, ...environment } = process.env;
  const argv = ['-c', `set -euo pipefail\n${newest}\nset -x\n${typed}`];
  const [program, rest] = reader.asPostgres ? asPostgres('bash', argv) : ['bash', argv];
  const shell = spawn(program, rest, {
    cwd: reader.cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...environment,
      PATH: `${bin}${delimiter}${process.env['PATH'] ?? ''}`,
      TEMPORAL_ADDRESS: undefined,
      REPRISE_CONFIG: undefined,
      REPRISE_BY: undefined,
    } as NodeJS.ProcessEnv,
  });
  let printed = '';
  shell.stdout.on('data', (chunk: Buffer) => (printed += chunk.toString()));
  shell.stderr.on('data', (chunk: Buffer) => (printed += chunk.toString()));
  const code = await new Promise<number>((resolve) => shell.once('close', (exit) => resolve(exit ?? -1)));
  if (code !== 0) throw new Error(`the document's commands ended with exit ${code}:\n${printed.slice(-4000)}`);
  return printed;
}
