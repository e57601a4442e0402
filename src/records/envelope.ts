import { z } from 'zod';
import type { CatalogueRecord, RecordBody } from '../domain/backup/records.js';

/*
 * What a field must be for the fold to read it without checking again. Further fields are kept as they are: a later
 * version may write more of them.
 */
const text = z.string().min(1);
const instant = z.string().refine((value) => !Number.isNaN(Date.parse(value)));
const bytes = z.int().nonnegative();
const list = z.array(z.unknown());
const object = z.looseObject({});

const backup = z.looseObject({
  id: text,
  cluster: text,
  policy: text,
  engine: text,
  repository: text,
  label: text,
  type: z.enum(['full', 'diff', 'incr']),
  startedAt: instant,
  finishedAt: instant.nullable(),
  sizeBytes: bytes,
  dependsOn: z.array(z.string()).optional(),
});
const proof = z.looseObject({ level: z.enum(['verified', 'restored']), at: instant });
const plan = z.looseObject({ digest: text, binding: object, observed: object, createdAt: instant, approveBy: instant });
const outcome = z.looseObject({
  target: z.looseObject({ requested: z.string(), reached: z.string() }),
  phases: list,
  checks: list,
});

const drillOutcome = z.looseObject({
  drillId: text,
  workflowId: z.string(),
  verdict: z.enum(['pass', 'fail', 'incomplete']),
  startedAt: instant,
  finishedAt: instant,
  restores: list,
  checks: list,
  notTested: list,
});
const registerEntry = z.looseObject({
  id: text,
  what: z.enum(['drill-failed', 'drill-overdue']),
  text: z.string(),
  openedAt: instant,
  dueAt: instant,
  closedBy: z.string().nullable(),
});

const openMatter = z.looseObject({
  check: text,
  level: z.enum(['warning', 'problem']),
  message: z.string(),
  since: instant,
  toldAt: instant,
});

const envelope = z.looseObject({ id: text, at: instant, operationId: z.string(), by: z.string() });

const sender = z.looseObject({ identity: z.string(), principal: z.string().nullable() });

/** By kind; a new kind does not compile without its line. */
const bodies: Readonly<Record<RecordBody['kind'], z.ZodObject>> = {
  backup: z.looseObject({ backup, contentRecords: bytes.optional() }),
  contents: z.looseObject({ backupId: text, contents: list }),
  'backup-failed': z.looseObject({ policy: text, reason: z.string(), code: z.string() }),
  'backup-skipped': z.looseObject({ policy: text, reason: z.string() }),
  proof: z.looseObject({ backupId: text, proof, detail: z.string() }),
  quarantine: z.looseObject({ backupId: text, reason: z.string() }),
  removed: z.looseObject({ backupId: text, reason: z.string() }),
  hold: z.looseObject({ backupId: text, until: z.literal('infinity').or(instant), reason: z.string() }),
  release: z.looseObject({ backupId: text }),
  pin: z.looseObject({ backupIds: z.array(z.string()), walFrom: z.string().nullable() }),
  unpin: object,
  plan: z.looseObject({ plan }),
  approval: z.looseObject({
    digest: text,
    approval: z.looseObject({ plan: text, by: text, reason: z.string() }),
    assurance: z.enum(['asserted', 'signed']),
    sender: sender.optional(),
  }),
  refusal: z.looseObject({
    digest: z.string(),
    by: z.string(),
    code: z.string(),
    reason: z.string(),
    sender: sender.optional(),
  }),
  'plan-used': z.looseObject({ digest: text }),
  kept: z.looseObject({
    keptId: text,
    what: z.string(),
    where: z.string(),
    parts: z.array(z.string()).optional(),
    sizeBytes: bytes.nullable(),
    host: text,
    beside: text.optional(),
  }),
  'kept-dropped': z.looseObject({ keptId: text }),
  'key-proof': z.looseObject({ recipient: text }),
  repository: z.looseObject({ repository: text, identity: text, where: z.string() }),
  incident: z.looseObject({
    incidentId: text,
    scenario: text,
    state: text,
    text: z.string(),
    sender: sender.optional(),
  }),
  journal: z.looseObject({ workflowId: z.string(), step: z.string(), text: z.string() }),
  outcome: z.looseObject({ workflowId: z.string(), outcome }),
  drill: z.looseObject({ outcome: drillOutcome }),
  register: z.looseObject({ entry: registerEntry }),
  'daily-check': z.looseObject({ found: z.looseObject({ open: z.array(openMatter), told: list, over: list }) }),
};

/**
 * The record that a file holds, or in one sentence what is wrong with it. A kind of a later version is wrong too: a
 * reader that ignored what it does not know could offer a backup that was removed.
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
  const { kind } = value;
  const wrong = wrongField(envelope, value);
  if (wrong !== null) return { reason: wrong };
  const body = typeof kind === 'string' && Object.hasOwn(bodies, kind) ? bodies[kind as RecordBody['kind']] : null;
  if (body === null) return { reason: `its kind ${JSON.stringify(kind)} is not known` };
  const wrongInBody = wrongField(body, value);
  return wrongInBody === null ? (value as unknown as CatalogueRecord) : { reason: wrongInBody };
}

function wrongField(schema: z.ZodObject, value: unknown): string | null {
  const { error } = schema.safeParse(value);
  return error === undefined ? null : `its field "${String(error.issues[0]?.path[0])}" is missing or wrong`;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
