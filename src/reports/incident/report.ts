import { isReportLanguage, type Language, type ReportLanguage } from '../../domain/text/languages.js';
import { bothForms, type BothForms } from '../document/both-forms.js';
import { type MigrationIncidentReportInput, migrationIncidentDocument } from './bad-migration.js';
import { en } from './sentences/en.js';
import type { IncidentSentences } from './sentences/sentences.js';
import { type TableIncidentReportInput, tableIncidentDocument } from './table-corruption.js';

/** Another language is one more file of sentences, and a line here. */
const catalogues: Readonly<Record<ReportLanguage, IncidentSentences>> = { en };

/** English where there are no sentences of the language yet. */
const sentencesOf = (language: Language): IncidentSentences => (isReportLanguage(language) ? catalogues[language] : en);

/** The document of an incident of a table, in Markdown and as one HTML file; times are UTC. */
export function tableIncidentReport(input: TableIncidentReportInput, language: Language): BothForms {
  return bothForms(tableIncidentDocument(input, sentencesOf(language)));
}

/** The same of a migration that went wrong. */
export function migrationIncidentReport(input: MigrationIncidentReportInput, language: Language): BothForms {
  return bothForms(migrationIncidentDocument(input, sentencesOf(language)));
}
