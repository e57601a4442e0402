/** One `[section]` of a file as pgBackRest has them; a name may come more than once. */
export interface IniSection {
  readonly name: string;
  readonly options: readonly (readonly [name: string, value: string])[];
}

/** Sections in the order of the file. Comments, and what comes before the first section, are left out. */
export function iniSections(text: string): readonly IniSection[] {
  const sections: { name: string; options: [string, string][] }[] = [];
  for (const raw of text.split('\n')) {
    const line = raw.trim();
    const name = /^\[([^\]]+)\]$/.exec(line)?.[1];
    const equals = line.indexOf('=');
    if (name !== undefined) sections.push({ name, options: [] });
    else if (!line.startsWith('#') && equals > 0)
      sections.at(-1)?.options.push([line.slice(0, equals).trim(), line.slice(equals + 1).trim()]);
  }
  return sections;
}
