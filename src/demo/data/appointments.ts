import type { Row } from '../model/row.js';

export const APPOINTMENTS = 200_000;
export const municipalServices: readonly Row[] = [
  'État civil',
  "Passeports et cartes d'identité",
  'Urbanisme',
  'Élections',
  'Petite enfance',
  'Affaires scolaires',
  'Logement',
  'Cimetières',
  'Voirie',
  'Action sociale',
  'Associations',
  'Mariages et PACS',
].map((name, index) => [String(index + 1), name]);

export const states = ['demandé', 'confirmé', 'honoré', 'annulé'] as const;
const reasons = ['renouvellement', 'première demande', 'rectification', 'information, suivi', null] as const;
const FIRST_DAY = Date.UTC(2026, 0, 5);
const DAY_MS = 86_400_000;
const SLOT_MS = 15 * 60_000;

/**
 * Makes appointments from the communes by arithmetic alone: number and communes decide every value, so that the same
 * contents can be computed again anywhere. Larger communes get more, in proportion to their population.
 */
export function appointmentMaker(communes: readonly Row[]): (number: number, id: string) => Row {
  const upTo = new Float64Array(communes.length);
  let total = 0;
  communes.forEach((commune, index) => {
    total += Number(commune[3] ?? 0) + 1;
    upTo[index] = total;
  });
  return (number, id) => {
    const draw = (salt: number, count: number) => mix(number, salt) % count;
    const commune = communes[firstAbove(upTo, (mix(number, 1) / 2 ** 32) * total)]?.[0] ?? null;
    const day = new Date(FIRST_DAY + draw(2, 360) * DAY_MS);
    const slot = new Date(day.getTime() + 8.5 * 3_600_000 + draw(3, 36) * SLOT_MS);
    return [
      id,
      commune,
      municipalServices[draw(4, municipalServices.length)]?.[0] ?? null,
      `RDV-${String(number).padStart(7, '0')}`,
      new Date(day.getTime() - (1 + draw(5, 45)) * DAY_MS).toISOString().slice(0, 10),
      `${slot.toISOString().slice(0, 10)} ${slot.toISOString().slice(11, 19)}+00`,
      states[draw(6, states.length)] ?? null,
      reasons[draw(7, reasons.length)] ?? null,
    ];
  };
}

/** A number of 32 bits that depends on every bit of both arguments (finalizer of MurmurHash3, public domain). */
export function mix(value: number, salt: number): number {
  let bits = (value ^ Math.imul(salt, 0x9e3779b1)) >>> 0;
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}

function firstAbove(sorted: Float64Array, wanted: number): number {
  let low = 0;
  let high = sorted.length - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? 0) > wanted) high = middle;
    else low = middle + 1;
  }
  return low;
}
