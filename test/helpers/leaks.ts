import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll } from '@jest/globals';
// First, so that what a file clears up at its end is gone before we look.
import './cleanup.js';
import { reaperPids } from './reaper.js';

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
    const known = new Set((await before).map(({ pid }) => pid));
    let left = await newProcesses(id, known);
    // Something told to stop may take its time on a busy machine, as do what WAL-G fetches ahead.
    const until = performance.now() + PATIENCE_MS;
    while (left.length > 0 && performance.now() < until) {
      await sleep(100);
      left = await newProcesses(id, known);
    }
    delete process.env[marker];
    if (left.length > 0) {
      const lines = left.map(({ pid, command }) => `${pid} ${command}`).join('\n');
      throw new Error(`this test file left processes behind:\n${lines}`);
    }
  }, 2 * PATIENCE_MS);
}

/** Our children, and all that carry the mark, without zombies and the helpers' own. */
export async function leakedProcesses(id: string): Promise<ProcessLine[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const found = await Promise.all(pids.map((pid) => ours(pid, id)));
  return found.filter((line) => line !== undefined);
}

async function newProcesses(id: string, known: ReadonlySet<number>): Promise<ProcessLine[]> {
  return (await leakedProcesses(id)).filter(({ pid }) => !known.has(pid));
}

async function ours(pid: number, id: string): Promise<ProcessLine | undefined> {
  if (pid === process.pid || reaperPids.has(pid)) return undefined;
  // All of it may vanish while we read.
  const read = (name: string) => readFile(`/proc/${pid}/${name}`, 'utf8').catch(() => '');
  const [stat, environment, argv] = await Promise.all([read('stat'), read('environ'), read('cmdline')]);
  // The name, in brackets, may hold anything: count from its end.
  const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (state === undefined || state === '' || state === 'Z') return undefined;
  const isChild = Number(parent) === process.pid;
  const isMarked = environment.split('\0').includes(`${marker}=${id}`);
  if (!isChild && !isMarked) return undefined;
  return { pid, command: argv.replaceAll('\0', ' ').trim() };
}
