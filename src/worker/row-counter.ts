/**
 * Runs a program that prints what a dump holds, and counts its rows: a process of its own, so that neither needs the worker.
 * Arguments: the program and its own. Prints lines of a number, a tab and what it is the number of: a table by its `COPY`
 * statement, with newlines and backslashes escaped; `LO`, the large objects, last; every two seconds `BYTES`, how many were read.
 * Exit code: the program's own where it failed; 3 where what it printed ends in the middle.
 */
import { writeSync } from 'node:fs';
import { CopyCounter } from '../engines/logical/repository/copy-counter.js';
import { startForOutput } from '../process/exec/program-output.js';

const PRINT_EVERY_MS = 2_000;
const INCOMPLETE = 3;

const print = (number: number, what: string): void => void writeSync(1, Buffer.from(`${number}\t${what}\n`, 'latin1'));
const escaped = (statement: string): string => statement.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');

async function main(argv: readonly string[]): Promise<number> {
  const counter = new CopyCounter((rows, statement) => print(rows, escaped(statement)));
  const environment = Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined);
  const program = startForOutput(argv, Object.fromEntries(environment));
  let [bytes, printedAt] = [0, performance.now()];
  try {
    for await (const chunk of program.stream as AsyncIterable<Buffer>) {
      counter.push(chunk);
      bytes += chunk.length;
      if (performance.now() - printedAt < PRINT_EVERY_MS) continue;
      printedAt = performance.now();
      print(bytes, 'BYTES');
    }
  } catch (error) {
    const code = program.exitCode();
    if (code === null || code === 0) throw error;
    return code;
  } finally {
    program.end();
  }
  const largeObjects = counter.end();
  if (largeObjects === null) {
    writeSync(2, 'what was read of the dump ends in the middle of a table or statement\n');
    return INCOMPLETE;
  }
  print(largeObjects, 'LO');
  return 0;
}

process.exitCode = await main(process.argv.slice(2));
