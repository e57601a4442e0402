import { describe, expect, it } from '@jest/globals';
import type { DrillReportInput } from '../../../src/reports/drill/model.js';
import { drillReport, sentencesOf } from '../../../src/reports/drill/report.js';
import { en } from '../../../src/reports/drill/sentences/en.js';
import type { DrillSentences } from '../../../src/reports/drill/sentences/sentences.js';
import { earlierDrill, hostileDrill, sampleDrill } from '../../helpers/drill-sample.js';
import { golden } from '../../helpers/golden.js';

const markdownOf = (more: Partial<DrillReportInput> = {}): string =>
  drillReport({ ...sampleDrill, ...more }, en).markdown;
const outcomeOf = (more: Partial<DrillReportInput['outcome']>) => ({ outcome: { ...sampleDrill.outcome, ...more } });

describe('the report of a drill', () => {
  it('V3: says what was tested, what was not, objectives, predictions, trend, checks and sign-off', async () => {
    expect(markdownOf()).toBe(await golden(new URL('golden/drill.md', import.meta.url), markdownOf()));
  });

  it('V3: says so where nothing was left out, measured, predicted, checked or signed off', () => {
    const bare = markdownOf({
      ...outcomeOf({
        ...{ verdict: 'incomplete', reason: 'it was cancelled', restores: [], checks: [] },
        notTested: [],
      }),
      ...{ signer: null, history: [], objectives: { rtoSeconds: null, rpoSeconds: null } },
    });
    for (const sentence of [
      'Nothing that is configured for this cluster was left out',
      'Nothing was restored',
      'No check was made',
      'no objective',
      'no earlier drill of this cluster has left evidence',
      'The manifest is not signed',
    ])
      expect(bare.toLowerCase()).toContain(sentence.toLowerCase());
    expect(markdownOf(outcomeOf({ signOff: null }))).toContain('Nobody signed this drill off in time');
    expect(markdownOf({ ...outcomeOf({ signOff: null }), asksSignOff: false })).toContain('Nobody was asked to sign');
  });

  it('an objective that was missed, and a prediction that was wrong, are told by how much', () => {
    const report = markdownOf({ objectives: { rtoSeconds: 1800, rpoSeconds: 60 } });
    expect(report).toContain('**missed by 11 min 06 s**');
    expect(report).toContain('**missed by 1 min 02 s**');
    const [restored] = sampleDrill.outcome.restores;
    if (restored === undefined) throw new Error('no restore');
    const slower = markdownOf(outcomeOf({ restores: [{ ...restored, rtoSeconds: 2920 }] }));
    expect(slower).toContain('| \\+100 % | no: slower |');
  });

  it('V3: charts and tables show the same figures, and an objective far away does not press them flat', () => {
    const near = drillReport(sampleDrill, en).html;
    expect(near).toContain('>25 min 34 s</text>');
    expect(near).toContain('>objective 1 h 00 min</text>');
    const far = drillReport({ ...sampleDrill, objectives: { rtoSeconds: 86_400, rpoSeconds: null } }, en).html;
    expect(far).toContain('>objective 1 d 00 h, beyond this chart</text>');
    const long = { ...sampleDrill, history: Array.from({ length: 40 }, () => earlierDrill('2025-01-05', 1000)) };
    expect(drillReport(long, en).html).not.toMatch(/NaN|Infinity/);
    const quick = outcomeOf({
      restores: sampleDrill.outcome.restores.map((one) => ({ ...one, rtoSeconds: 0, bytes: 0, phases: [] })),
    });
    expect(drillReport({ ...sampleDrill, ...quick }, en).html).not.toMatch(/NaN|Infinity/);
  });

  it('V3: in tables a word is cut in two only where a column has no room for it', () => {
    const reason = 'x'.repeat(80);
    const notTested = [{ kind: 'tablespace' as const, name: 'all of dumps', reason }];
    const { html } = drillReport(
      { ...sampleDrill, plan: { ...sampleDrill.plan, notTested }, outcome: { ...sampleDrill.outcome, notTested } },
      en,
    );
    expect(html).toContain('<td class="words">tablespace</td><td class="words"><code>all of dumps</code></td>');
    expect(html).toContain(`<td>${reason}</td>`);
  });

  it('V3: another language is one catalogue of the same sentences: nothing of the report is said in English then', () => {
    const other = inOtherWords(en);
    const hostsWords = new Set(wordsOf(JSON.stringify({ ...sampleDrill, failures: [failure] })));
    const { markdown, html, readme } = drillReport({ ...sampleDrill, failures: [failure] }, other);
    expect(html).toContain('<html lang="xx">');
    for (const text of [markdown, textOf(html), readme]) {
      const english = wordsOf(text).filter((word) => !hostsWords.has(word) && !NAMES.has(word));
      expect(english).toEqual([]);
    }
    // A language without a catalogue is English, not nothing.
    expect(sentencesOf('fr')).toBe(sentencesOf('en'));
    expect(sentencesOf('en')).toBe(en);
  });

  it('F39: texts of others are no markup, neither in HTML nor in Markdown', () => {
    const { html, markdown } = drillReport(hostileDrill, en);
    expect(html).not.toMatch(/<script|<a |javascript:alert\(1\)"/);
    expect(html).not.toContain('\u202e');
    expect(markdown).not.toMatch(/^# h/m);
    expect(markdown).toContain('- reason: \\</td\\>');
  });
});

const failure = { step: 'restore', code: 'tool-failed', text: 'no space', at: '2026-04-05T02:10:00.000Z' };
/** Units and names that are the same in every language, and what targets are called. */
const NAMES = new Set(['min', 'RTO', 'GB', 'kB', 'MB', 'latest', 'time', 'commit', 'verdict']);

/** The same catalogue in words of one letter: complete by its type, as one for French has to be. */
function inOtherWords(sentences: DrillSentences): DrillSentences {
  const other = (value: unknown): unknown => {
    if (typeof value === 'string') return silent(value);
    if (typeof value === 'function')
      return (...given: unknown[]) => silent(String((value as (...all: unknown[]) => string)(...given)));
    return Object.fromEntries(Object.entries(value as object).map(([key, one]) => [key, other(one)]));
  };
  return { ...(other(sentences) as DrillSentences), language: 'xx' };
}

const silent = (text: string): string => text.replaceAll(/[A-Za-z]{2,}/g, 'x');
const wordsOf = (text: string): readonly string[] => text.match(/[A-Za-z]{3,}/g) ?? [];
/** What a reader of the page reads. */
const textOf = (html: string): string =>
  html
    .replace(/<style>[^]*?<\/style>/, '')
    .replaceAll(/<[^>]*>/g, ' ')
    .replaceAll(/&[a-z]+;/g, ' ');
