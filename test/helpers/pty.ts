import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { stripVTControlCharacters } from 'node:util';
import { onCleanup } from './cleanup.js';

/** A limit that only ends a failing test. */
const LIMIT_MS = 600_000;

/** A command in a real pseudo-terminal, 120 columns wide, by `script` of util-linux. */
export class Pty {
  private output = '';
  private readonly ended: Promise<number>;

  private constructor(private readonly child: ChildProcess) {
    child.stdout?.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
    this.ended = new Promise((resolve) => child.once('close', (code) => resolve(code ?? -1)));
    onCleanup(async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
      await this.ended;
    });
  }

  static start(argv: readonly string[], env: Readonly<Record<string, string>> = {}): Pty {
    const command = `stty cols 120 rows 40; exec ${argv.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ')}`;
    const clean = {
      TEMPORAL_ADDRESS: undefined,
      REPRISE_CONFIG: undefined,
      REPRISE_BY: undefined,
      NO_COLOR: '1',
      CI: undefined,
      TERM: 'xterm',
    };
    const child = spawn('script', ['-qfec', command, '/dev/null'], {
      cwd: '/',
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, ...clean, ...env } as NodeJS.ProcessEnv,
    });
    return new Pty(child);
  }

  /** Keys as a person types them; `\x03` is Ctrl-C. */
  type(keys: string): void {
    this.child.stdin?.write(keys);
  }

  /** All that was written, control sequences too. */
  get raw(): string {
    return this.output;
  }

  /** What stands on the screen: lines that were written over are gone. */
  get screen(): string {
    const left = this.output.split('\n').map((line) => line.split('\r\x1b[2K').at(-1) ?? '');
    return stripVTControlCharacters(left.join('\n')).replaceAll('\r', '');
  }

  /** Waits until this stands on the screen, live line included, or has stood there. */
  async shows(wanted: string | RegExp): Promise<void> {
    for (const limit = Date.now() + LIMIT_MS; Date.now() < limit; await sleep(50)) {
      if (typeof wanted === 'string' ? this.output.includes(wanted) : wanted.test(this.screen)) return;
    }
    throw new Error(`the terminal never showed ${String(wanted)}:\n${this.output}`);
  }

  exit(): Promise<number> {
    return this.ended;
  }
}
