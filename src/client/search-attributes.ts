import { searchAttributes } from '../domain/operation/names.js';
import { KEYWORD, lackedAttributes } from '../domain/operation/search-attributes.js';
import type { TemporalSession } from './connect.js';

export interface AttributeCheck {
  readonly missing: readonly string[];
  /** Why they could not be registered: some servers leave that to their administrators. */
  readonly refused?: string;
}

/** Names of our search attributes that the namespace lacks. */
export async function missingSearchAttributes(session: TemporalSession): Promise<readonly string[]> {
  const { namespace } = session.settings;
  const answer = await session.connection.operatorService.listSearchAttributes({ namespace });
  return lackedAttributes(answer.customAttributes);
}

/** Registers what is missing, where this client may. Without them no workflow can be started. */
export async function registerMissingSearchAttributes(session: TemporalSession): Promise<AttributeCheck> {
  let missing: readonly string[] = Object.values(searchAttributes);
  try {
    missing = await missingSearchAttributes(session);
    if (missing.length === 0) return { missing };
    const { namespace } = session.settings;
    const types = Object.fromEntries(missing.map((name) => [name, KEYWORD]));
    await session.connection.operatorService.addSearchAttributes({ namespace, searchAttributes: types });
    return { missing: [] };
  } catch (error) {
    return { missing, refused: error instanceof Error ? error.message : String(error) };
  }
}
