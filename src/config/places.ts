/** The configuration that was named by `--config` or `$REPRISE_CONFIG`. */
export function namedConfig(
  flag: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): string | undefined {
  return flag ?? (env['REPRISE_CONFIG'] || undefined);
}

/** Files that may be the configuration: the first that is there counts. */
export function configCandidates(
  flag: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): readonly string[] {
  const named = namedConfig(flag, env);
  return named === undefined ? ['reprise.yml', '/etc/reprise/reprise.yml'] : [named];
}
