/** Languages that a configuration may name. */
export const languages = ['en', 'fr'] as const;
export type Language = (typeof languages)[number];

/** Those in which reports are written: a name here asks for its catalogue of sentences (`reports/drill/report.ts`). */
export const reportLanguages = ['en'] as const satisfies readonly Language[];
export type ReportLanguage = (typeof reportLanguages)[number];

export function isReportLanguage(language: Language): language is ReportLanguage {
  return reportLanguages.some((one) => one === language);
}
