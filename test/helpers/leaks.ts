import { afterAll } from '@jest/globals';
// First, so that what a file clears up at its end is gone before we look.
import './cleanup.js';
import { allPids, ofProcess } from './proc.js';
import { reaperPids } from './reaper.js';
import { pause } from './until.js';

/** Carried by whatever inherits our environment, so that a process that left us for a session of its own is found. */
const marker = 'REPRISE_TEST_FILE_ID';
const PATIENCE_MS = 180_000;

export interface ProcessLine {
  pid: number;
  command: string;
}

/** Fails the test file if a process that it started still runs three minutes after its end. Call it at the top. */
export function failOnLeakedProcesses(): void {
  const id = `${process.pid}-${performance.now()}`;
  process.env[marker] = id;
  const before = leakedProcesses(id);
  afterAll(async () => {
    const known = new Set(before.map(({ pid }) => pid));
    let left = newProcesses(id, known);
    // Something told to stop may take its time on a busy machine, as do what WAL-G fetches ahead.
    const since = Date.now();
    while (left.length > 0 && Date.now() < since + PATIENCE_MS) {
      await pause(since);
      left = newProcesses(id, known);
    }
    delete process.env[marker];
    if (left.length > 0) {
      const lines = left.map(({ pid, command }) => `${pid} ${command}`).join('\n');
      throw new Error(`this test file left processes behind:\n${lines}`);
    }
  }, 2 * PATIENCE_MS);
}

/** Our children, and all that carry the mark, without zombies and the helpers' own. */
export function leakedProcesses(id: string): ProcessLine[] {
  return allPids().flatMap((pid) => ours(pid, id) ?? []);
}

function newProcesses(id: string, known: ReadonlySet<number>): ProcessLine[] {
  return leakedProcesses(id).filter(({ pid }) => !known.has(pid));
}

function ours(pid: number, id: string): ProcessLine | undefined {
  if (pid === process.pid || reaperPids.has(pid)) return undefined;
  // All of it may vanish while we read.
  const stat = ofProcess(pid, 'stat');
  // The name, in brackets, may hold anything: count from its end.
  const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (state === undefined || state === '' || state === 'Z') return undefined;
  const isChild = Number(parent) === process.pid;
  const isMarked = ofProcess(pid, 'environ').split('\0').includes(`${marker}=${id}`);
  if (!isChild && !isMarked) return undefined;
  return { pid, command: ofProcess(pid, 'cmdline').replaceAll('\0', ' ').trim() };
}
