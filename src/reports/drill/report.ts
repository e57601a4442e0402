import { drillHtml } from './html.js';
import { drillMarkdown } from './markdown.js';
import { type DrillReportInput, drillDocument } from './model.js';
import { en } from './sentences/en.js';
import type { DrillSentences } from './sentences/sentences.js';

/** Another language is one more file of sentences, and a line here. */
const languages: Readonly<Record<string, DrillSentences>> = { en };

/** The report of a drill, in Markdown and as one HTML file; English where there are no sentences of the language. */
export function drillReport(
  input: DrillReportInput,
  language: string,
): { readonly markdown: string; readonly html: string } {
  const document = drillDocument(input, languages[language] ?? en);
  return { markdown: drillMarkdown(document), html: drillHtml(document) };
}
