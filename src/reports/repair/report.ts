import { isReportLanguage, type Language, type ReportLanguage } from '../../domain/text/languages.js';
import { bothForms, type BothForms } from '../document/both-forms.js';
import { repairDocument, type RepairReportInput } from './model.js';
import { en } from './sentences/en.js';
import type { RepairSentences } from './sentences/sentences.js';

/** Another language is one more file of sentences, and a line here. */
const catalogues: Readonly<Record<ReportLanguage, RepairSentences>> = { en };

/** The report of a repair, in Markdown and as one HTML file; English where there are no sentences of the language yet. */
export function repairReport(input: RepairReportInput, language: Language): BothForms {
  return bothForms(repairDocument(input, isReportLanguage(language) ? catalogues[language] : en));
}
