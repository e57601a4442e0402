import type { ReportDocument } from './document.js';
import { documentHtml } from './html.js';
import { documentMarkdown } from './markdown.js';

/** A report in Markdown, and as one HTML file. */
export interface BothForms {
  readonly markdown: string;
  readonly html: string;
}

export function bothForms(document: ReportDocument): BothForms {
  return { markdown: documentMarkdown(document), html: documentHtml(document) };
}
