import { readFileSync, readdirSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { planRetention } from '../../../src/domain/retention/retention.js';
import { golden } from '../../helpers/golden.js';
import { backupOf, retentionOf, type RetentionCase } from './cases.js';

const folder = new URL('golden/', import.meta.url);
const cases = readdirSync(folder)
  .filter((name) => name.endsWith('.case.json'))
  .map((name): [string, RetentionCase] => [
    name,
    JSON.parse(readFileSync(new URL(name, folder), 'utf8')) as RetentionCase,
  ]);

describe('what rotation keeps and removes', () => {
  it.each(cases.map(([name, input]) => [input.about, name, input] as const))('%s (%s)', async (_about, name, input) => {
    const plan = planRetention({
      backups: input.backups.map(backupOf),
      retention: retentionOf(input.retention),
      now: new Date(input.now),
      aheadMs: input.aheadMs ?? null,
      pinned: new Set(input.pinned ?? []),
    });
    const line = ({ id, reason }: { id: string; reason: string }) => `${id.padEnd(16)} ${reason}`;
    const text = [
      ...(plan.refused ? [`refused: ${plan.refused.reason}`, `hint: ${plan.refused.hint}`] : []),
      ...['keep:', ...plan.keep.map(line)],
      ...['remove, in this order:', ...plan.remove.map(line)],
    ].join('\n');
    expect(`${text}\n`).toBe(await golden(new URL(name.replace('.case.json', '.txt'), folder), `${text}\n`));
  });

  it('has its cases', () => expect(cases.length).toBeGreaterThan(15));
});
