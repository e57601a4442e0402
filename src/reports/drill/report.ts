import type { Language, ReportLanguage } from '../../domain/text/languages.js';
import { isReportLanguage } from '../../domain/text/languages.js';
import { bothForms, type BothForms } from '../document/both-forms.js';
import { type DrillReportInput, drillDocument } from './model.js';
import { en } from './sentences/en.js';
import type { DrillSentences } from './sentences/sentences.js';

/** Another language is one more file of sentences, and a line here. */
const catalogues: Readonly<Record<ReportLanguage, DrillSentences>> = { en };

/** The sentences of a language; English where there are none of it yet, which a warning of the configuration says. */
export function sentencesOf(language: Language): DrillSentences {
  return isReportLanguage(language) ? catalogues[language] : en;
}

/** The report of a drill, in Markdown and as one HTML file, and what stands beside the evidence for whoever gets it without us. */
export function drillReport(input: DrillReportInput, say: DrillSentences): BothForms & { readonly readme: string } {
  return { ...bothForms(drillDocument(input, say)), readme: say.readme(input.signer) };
}
