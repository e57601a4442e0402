import { registered } from '../domain/fields.js';
import type { Engine } from './engine.js';
import { engineKinds } from './registry.js';

const engines: Readonly<Record<string, Engine>> = Object.fromEntries(
  await Promise.all(Object.entries(engineKinds).map(async ([kind, { load }]) => [kind, await load()] as const)),
);

/** Engine of a kind named by a policy. Throws `config-invalid` for a kind that is not registered. */
export function engineOf(kind: string): Engine {
  return registered(engines, kind, `unknown engine "${kind}"`, 'known engines');
}
