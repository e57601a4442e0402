import type { CheckConfig } from '../config.js';

/**
 * Checks of a drill: those that every drill runs, then those of the configuration. One of a kind that the configuration names takes the
 * place of the one that every drill runs, and one that it switches off is not run.
 */
export function checksOf(
  configured: readonly CheckConfig[],
  ofEveryDrill: readonly CheckConfig[],
): readonly CheckConfig[] {
  const named = new Set(configured.map(({ type }) => type));
  return [
    ...ofEveryDrill.filter(({ type }) => !named.has(type)),
    ...configured.filter(({ enabled }) => enabled !== false),
  ];
}
