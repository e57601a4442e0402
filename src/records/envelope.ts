import type { CatalogueRecord, RecordBody } from '../domain/backup/records.js';

/** A field of a record and what its value must be for the fold to read it without looking again. */
type Check = (value: unknown) => boolean;
const text: Check = (value) => typeof value === 'string' && value !== '';
const anyText: Check = (value) => typeof value === 'string';
const nullOr =
  (check: Check): Check =>
  (value) =>
    value === null || check(value);
const instant: Check = (value) => typeof value === 'string' && !Number.isNaN(Date.parse(value));
const texts: Check = (value) => Array.isArray(value) && value.every(anyText);
const bytes: Check = (value) => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
const shape =
  (fields: Readonly<Record<string, Check>>): Check =>
  (value) =>
    isObject(value) && Object.entries(fields).every(([name, check]) => check(value[name]));

const backup = shape({
  id: text,
  cluster: text,
  policy: text,
  engine: text,
  repository: text,
  label: text,
  type: (value) => value === 'full' || value === 'diff' || value === 'incr',
  startedAt: instant,
  finishedAt: nullOr(instant),
  sizeBytes: bytes,
  dependsOn: (value) => value === undefined || texts(value),
});
const proof = shape({ level: (value) => value === 'verified' || value === 'restored', at: instant });
const plan = shape({ digest: text, binding: isObject, observed: isObject, createdAt: instant, approveBy: instant });
const outcome = shape({
  target: shape({ requested: anyText, reached: anyText }),
  phases: Array.isArray,
  checks: Array.isArray,
});

/** By kind; a new kind does not compile without its line. */
const bodies: Readonly<Record<RecordBody['kind'], Readonly<Record<string, Check>>>> = {
  backup: { backup, contentRecords: (value) => value === undefined || bytes(value) },
  contents: { backupId: text, contents: Array.isArray },
  'backup-failed': { policy: text, reason: anyText, code: anyText },
  'backup-skipped': { policy: text, reason: anyText },
  proof: { backupId: text, proof, detail: anyText },
  quarantine: { backupId: text, reason: anyText },
  removed: { backupId: text, reason: anyText },
  hold: { backupId: text, until: (value) => value === 'infinity' || instant(value), reason: anyText },
  release: { backupId: text },
  pin: { backupIds: texts, walFrom: nullOr(anyText) },
  unpin: {},
  plan: { plan },
  approval: {
    digest: text,
    approval: shape({ plan: text, by: text, reason: anyText }),
    assurance: (value) => value === 'asserted' || value === 'signed',
  },
  refusal: { digest: anyText, by: anyText, code: anyText, reason: anyText },
  'plan-used': { digest: text },
  kept: { keptId: text, what: anyText, where: anyText, sizeBytes: nullOr(bytes), host: text },
  'kept-dropped': { keptId: text },
  'key-proof': { recipient: text },
  incident: { incidentId: text, scenario: text, state: text, text: anyText },
  journal: { workflowId: anyText, step: anyText, text: anyText },
  outcome: { workflowId: anyText, outcome },
};

/**
 * The record that a file holds, or in one sentence what is wrong with it. A kind of a later version is wrong too: a
 * reader that passes over what it does not know could offer what was removed.
 */
export function parseRecord(content: string, seq: number): CatalogueRecord | { readonly reason: string } {
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch {
    return { reason: content === '' ? 'it is empty' : 'it is not JSON' };
  }
  if (!isObject(value)) return { reason: 'it is no JSON object' };
  if (value['seq'] !== seq) return { reason: `its number inside is ${JSON.stringify(value['seq'])}` };
  for (const [name, check] of Object.entries({ id: text, at: instant, operationId: anyText, by: anyText })) {
    if (!check(value[name])) return { reason: `its field "${name}" is missing or wrong` };
  }
  const { kind } = value;
  const fields =
    typeof kind === 'string' && Object.hasOwn(bodies, kind) ? bodies[kind as RecordBody['kind']] : undefined;
  if (fields === undefined) return { reason: `its kind ${JSON.stringify(kind)} is not known` };
  for (const [name, check] of Object.entries(fields)) {
    if (!check(value[name])) return { reason: `its field "${name}" is missing or wrong` };
  }
  return value as unknown as CatalogueRecord;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
