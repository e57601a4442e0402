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
  out(text: string): void;
  err(text: string): void;
  /** Colour for stdout or stderr, as `--color`, `NO_COLOR` and the terminal say. */
  paint(color: Color, text: string, stream?: 'out' | 'err'): string;
  setColor(mode: ColorMode): void;
}

/** The terminal of this process. */
export function processTerminal(): Terminal {
  let mode: ColorMode = 'auto';
  const wanted = (stream: 'out' | 'err'): boolean => {
    if (mode !== 'auto') return mode === 'always';
    const noColor = process.env['NO_COLOR'];
    if (noColor !== undefined && noColor !== '') return false;
    return (stream === 'out' ? process.stdout : process.stderr).isTTY === true && process.env['TERM'] !== 'dumb';
  };
  return {
    env: process.env,
    interactive: process.stdin.isTTY === true && process.stderr.isTTY === true,
    live: process.stderr.isTTY === true && process.env['TERM'] !== 'dumb',
    // A terminal that does not know its width says 0.
    columns: process.stderr.columns || 80,
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    paint: (color, text, stream = 'out') => (wanted(stream) ? styleText(color, text, { validateStream: false }) : text),
    setColor: (value) => {
      mode = value;
    },
  };
}
