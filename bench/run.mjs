#!/usr/bin/env node
/**
 * Measures the figures that are promised and fails where one falls short:
 *   npm run bench [-- NAME...]      setup demo attach overhead drill predict memory kill scale fleet start stream count wal transactions media compare apply locate instance; all of them without a name
 * Progress goes to stderr; to stdout a row for docs/performance.md and a line of JSON per figure. Machines differ:
 * docs/performance.md says where its figures come from.
 */
import { apply } from './apply.mjs';
import { compare } from './compare.mjs';
import { count } from './count.mjs';
import { drill } from './drill.mjs';
import { fleet } from './fleet.mjs';
import { instance } from './instance.mjs';
import { kill } from './kill.mjs';
import { locate } from './locate.mjs';
import { media } from './media.mjs';
import { memory } from './memory.mjs';
import { overhead } from './overhead.mjs';
import { predict } from './predict.mjs';
import { attach, demo, setup } from './promises.mjs';
import { scale } from './scale.mjs';
import { start } from './start.mjs';
import { stream } from './stream.mjs';
import { transactions } from './transactions.mjs';
import { wal } from './wal.mjs';

const benches = {
  setup,
  demo,
  attach,
  overhead,
  drill,
  predict,
  memory,
  kill,
  scale,
  fleet,
  start,
  stream,
  count,
  wal,
  transactions,
  media,
  compare,
  apply,
  locate,
  instance,
};
const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !Object.hasOwn(benches, name));
if (unknown.length > 0) {
  process.stderr.write(
    `there is no bench ${unknown.join(', ')}\nHINT: npm run bench -- ${Object.keys(benches).join(' | ')}\n`,
  );
  process.exit(2);
}

const inWords = (value, unit) => `${value.toFixed(['s', '%'].includes(unit) ? 1 : 0)} ${unit}`;
let short = false;
for (const [name, measure] of Object.entries(benches)) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  try {
    for (const { name: figure, unit, value, limit, detail } of await measure((line) =>
      process.stderr.write(`${name}: ${line}\n`),
    )) {
      // What is no number was not measured.
      const kept = value <= limit;
      short ||= !kept;
      process.stdout.write(
        `| ${figure} | ${inWords(limit, unit)} | ${inWords(value, unit)}${kept ? '' : ', **short**'} | \`npm run bench -- ${name}\` |\n`,
      );
      process.stdout.write(
        `${JSON.stringify({ bench: name, figure, unit, value, limit, kept, ...(detail === undefined ? {} : { detail }) })}\n`,
      );
    }
  } catch (error) {
    short = true;
    process.stderr.write(`${name}: failed: ${error instanceof Error ? error.stack : String(error)}\n`);
  }
}
process.exit(short ? 1 : 0);
