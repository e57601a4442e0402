import type { PlanBinding } from './plan.js';

/** The last step of every recovery: nothing takes it back. */
const LAST = 'start-applications';

/**
 * The hook that takes another one back on every way out of a recovery; null where there is none. Where both run as steps,
 * applications that were stopped are started, also if the configuration does not say so.
 */
export function undoHookOf(
  { hooks, undoHooks }: Pick<PlanBinding, 'hooks' | 'undoHooks'>,
  hook: string,
): string | null {
  if (hook === LAST) return null;
  return undoHooks?.[hook] ?? (hook === 'stop-applications' && hooks.includes(LAST) ? LAST : null);
}

/** The part of a plan's binding that names what takes its hooks back; undefined where the configuration names none. */
export function undoHooksOf(
  hooks: readonly string[],
  configured: Readonly<Record<string, { readonly undo?: string }>>,
): Readonly<Record<string, string>> | undefined {
  const undos = hooks.flatMap((hook) => {
    const undo = configured[hook]?.undo;
    return hook === LAST || undo === undefined ? [] : [[hook, undo] as const];
  });
  return undos.length === 0 ? undefined : Object.fromEntries(undos);
}
