import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:os';
import { Readable } from 'node:stream';

/** A program that runs for what it prints. */
export interface ProgramOutput {
  /** What it prints; fails where the program does, for half an output is none. */
  readonly stream: Readable;
  /** As a shell has it, 128 + n for signal n; null while it runs. */
  exitCode(): number | null;
  /** Ends it where it still runs. */
  end(): void;
}

/** Starts a program whose stderr is ours, with exactly this environment. */
export function startForOutput(argv: readonly string[], env: Readonly<Record<string, string>>): ProgramOutput {
  const [program = '', ...rest] = argv;
  const child = spawn(program, rest, { env, cwd: '/', stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
  // Told by the stream, to whoever reads it.
  ended.catch(() => undefined);
  let code: number | null = null;
  const output = async function* (): AsyncGenerator<Buffer> {
    yield* child.stdout as AsyncIterable<Buffer>;
    const [exit, signal] = await ended;
    code = exit ?? 128 + (signal === null ? 0 : constants.signals[signal]);
    if (code !== 0) throw new Error(`${program} ended with ${code}`);
  };
  return {
    stream: Readable.from(output(), { objectMode: false }),
    exitCode: () => code,
    end: () => {
      child.stdout.destroy();
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
    },
  };
}
