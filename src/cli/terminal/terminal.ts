import { styleText } from 'node:util';

export type Color = 'red' | 'green' | 'yellow' | 'cyan' | 'dim' | 'bold';
export type ColorMode = 'auto' | 'always' | 'never';

/** Where a command reads and writes: results on `out`, everything else on `err`. */
export interface Terminal {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** A person can be asked. */
  readonly interactive: boolean;
  /** A line on stderr can be written over. */
  readonly live: boolean;
  readonly columns: number;
  /** How wide stdout is; absent where it is no terminal: nothing is wrapped then. */
  readonly outColumns?: number;
  out(text: string): void;
  err(text: string): void;
  /** Colour for stdout or stderr, as `--color`, `NO_COLOR` and the terminal say. */
  paint(color: Color, text: string, stream?: 'out' | 'err'): string;
  setColor(mode: ColorMode): void;
}

/** What a terminal is made of: a process, or what a test gives in its place. */
export interface TerminalSource {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdin: { readonly isTTY?: boolean };
  readonly stdout: { readonly isTTY?: boolean; readonly columns?: number; write(text: string): unknown };
  readonly stderr: { readonly isTTY?: boolean; readonly columns?: number; write(text: string): unknown };
}

/** The terminal of this process. */
export function processTerminal({ env, stdin, stdout, stderr }: TerminalSource = process): Terminal {
  let mode: ColorMode = 'auto';
  const wanted = (stream: 'out' | 'err'): boolean => {
    if (mode !== 'auto') return mode === 'always';
    const noColor = env['NO_COLOR'];
    if (noColor !== undefined && noColor !== '') return false;
    return (stream === 'out' ? stdout : stderr).isTTY === true && env['TERM'] !== 'dumb';
  };
  return {
    env,
    interactive: stdin.isTTY === true && stderr.isTTY === true,
    live: stderr.isTTY === true && env['TERM'] !== 'dumb',
    // A terminal that does not know its width says 0.
    columns: stderr.columns || 80,
    outColumns: stdout.isTTY === true ? stdout.columns || 80 : undefined,
    out: (text) => void stdout.write(text),
    err: (text) => void stderr.write(text),
    paint: (color, text, stream = 'out') => (wanted(stream) ? styleText(color, text, { validateStream: false }) : text),
    setColor: (value) => {
      mode = value;
    },
  };
}
