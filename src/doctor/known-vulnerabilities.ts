/** A vulnerability of PostgreSQL that touches backups or their restore, with the first minor version of each major without it. */
interface Vulnerability {
  readonly cve: string;
  readonly programs: readonly string[];
  readonly harm: string;
  readonly fixedIn: Readonly<Record<number, number>>;
}

const CLIENTS = ['pg_dump', 'pg_dumpall', 'pg_restore', 'psql'] as const;

/** Newest first; versions as PostgreSQL's security page and the CVE records give them. */
const vulnerabilities: readonly Vulnerability[] = [
  {
    cve: 'CVE-2026-116314',
    programs: ['pg_restore'],
    harm: 'a manipulated dump runs code as the user who restores or lists it',
    fixedIn: { 14: 25, 15: 20, 16: 16, 17: 12, 18: 7 },
  },
  {
    cve: 'CVE-2026-18408',
    programs: CLIENTS,
    harm: 'a dump may run code of whoever owned the source when psql restores it',
    fixedIn: { 14: 24, 15: 19, 16: 15, 17: 11, 18: 6 },
  },
  {
    cve: 'CVE-2026-6477',
    programs: ['pg_dump', 'psql'],
    harm: 'a manipulated server can overwrite memory of the program that dumps it',
    fixedIn: { 14: 23, 15: 18, 16: 14, 17: 10, 18: 4 },
  },
  {
    cve: 'CVE-2025-8714, CVE-2025-8715',
    programs: [...CLIENTS, 'postgres'],
    harm: 'a restored dump may run code of whoever owned the source',
    fixedIn: { 13: 22, 14: 19, 15: 14, 16: 10, 17: 6 },
  },
];

/** The worst that is known of a version, and the first minor version without any of it; null where nothing is known. */
export function knownVulnerability(
  program: string,
  major: number,
  minor: number,
): { readonly cve: string; readonly harm: string; readonly floor: number } | null {
  const open = vulnerabilities.filter(
    ({ programs, fixedIn }) => programs.includes(program) && minor < (fixedIn[major] ?? 0),
  );
  const [worst] = open;
  if (worst === undefined) return null;
  return {
    cve: open.map(({ cve }) => cve).join(', '),
    harm: worst.harm,
    floor: Math.max(...open.map(({ fixedIn }) => fixedIn[major] ?? 0)),
  };
}
