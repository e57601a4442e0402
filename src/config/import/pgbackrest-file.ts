import { iniSections } from '../../domain/text/ini.js';

/** What an existing pgbackrest.conf says, as far as a policy of reprise.yml needs it. */
export interface PgbackrestFile {
  /** The one section that is a stanza; null where there is none or several. */
  readonly stanza: string | null;
  readonly stanzas: readonly string[];
  readonly dataDir: string | null;
  /** Days of `repo1-retention-full` where its type is `time`. */
  readonly retentionDays: number | null;
  readonly warnings: readonly string[];
}

/** Reads the file. No value is repeated but paths and numbers: it may hold keys and passwords. */
export function readPgbackrestFile(text: string, label: string): PgbackrestFile {
  const sections = iniSections(text);
  const stanzas = [...new Set(sections.map(({ name }) => name))].filter(
    (name) => name !== 'global' && !name.includes(':'),
  );
  const stanza = stanzas.length === 1 ? (stanzas[0] ?? null) : null;
  const optionsOf = (name: string | null) =>
    sections.filter((section) => section.name === name).flatMap((section) => section.options);
  const options = new Map([...optionsOf('global'), ...optionsOf(stanza)]);
  const days = options.get('repo1-retention-full-type') === 'time' ? Number(options.get('repo1-retention-full')) : NaN;
  return {
    stanza,
    stanzas,
    dataDir: options.get('pg1-path') ?? null,
    retentionDays: Number.isInteger(days) && days >= 1 ? days : null,
    warnings: warningsOf(options, label, stanzas),
  };
}

function warningsOf(
  options: ReadonlyMap<string, string>,
  label: string,
  stanzas: readonly string[],
): readonly string[] {
  const warnings: string[] = [];
  if (stanzas.length !== 1)
    warnings.push(
      `${label} has ${stanzas.length === 0 ? 'no stanza' : `the stanzas ${stanzas.join(', ')}`}: write the policy of engine pgbackrest by hand`,
    );
  if (options.get('repo1-retention-archive-type') === 'time') {
    warnings.push(
      `${label}: remove repo1-retention-archive-type=time: pgBackRest knows full, diff and incr there and refuses every command; Reprise computes which WAL may go`,
    );
  }
  const expiring = [...options.keys()].filter(
    (name) => /^repo\d+-retention-/.test(name) && name !== 'repo1-retention-archive-type',
  );
  if (expiring.length > 0)
    warnings.push(
      `${label}: remove ${expiring.join(', ')}: with them a backup by cron would remove backups that Reprise has to keep`,
    );
  return warnings;
}
