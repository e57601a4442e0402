import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { watchHeartbeatSeconds } from '../../../src/domain/operation/status.js';
import { type HistoryEvent, cloudActions } from '../../helpers/cloud-actions.js';

const page = readFileSync(new URL('../../../docs/temporal-cloud.md', import.meta.url), 'utf8');

/** Rows of the table with that heading: its cells. */
function rows(heading: string): readonly (readonly string[])[] {
  const lines = page.slice(page.indexOf(heading)).split('\n').slice(2);
  return lines.slice(0, lines.indexOf('')).map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

function historyOf(name: string): readonly HistoryEvent[] {
  const file = new URL(`../../replay/histories/${name}.json`, import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { events: readonly HistoryEvent[] }).events;
}

describe('L12: docs/temporal-cloud.md says what operations cost', () => {
  it.each(rows('| operation | history | actions |'))('%s', (_, history = '', said) => {
    const { total } = cloudActions(historyOf(history));
    expect(total).toBeGreaterThan(1);
    expect(total).toBeLessThanOrEqual(Number(said));
    // A figure of which an operation uses less than half is no figure.
    expect(total * 2.6).toBeGreaterThan(Number(said));
  });

  it('what runs all the time stays below what was promised', () => {
    const perDay = new Map(
      rows('| what runs all the time |').map(([what = '', ...figures]) => [what, figures.map(Number)]),
    );
    const heartbeats = Math.ceil(86_400 / (watchHeartbeatSeconds(undefined) * 0.8));
    expect(perDay.get('the watch of a cluster')).toEqual([heartbeats, 60, heartbeats + 60]);
    expect(perDay.get('the receiving of the WAL of a policy')).toEqual([heartbeats, 90, heartbeats + 90]);
    for (const figures of perDay.values()) expect(figures.at(-1)).toBeLessThanOrEqual(2000);
    expect(perDay.get('waiting for a host whose worker does not run')?.at(-1)).toBeLessThanOrEqual(500);
  });
});
