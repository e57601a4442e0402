import { describe, expect, it } from '@jest/globals';
import { mix, municipalServices, states } from '../../../src/demo/data/appointments.js';
import { initialContents } from '../../../src/demo/data/initial.js';
import { tables } from '../../../src/demo/data/schema.js';

describe('contents of the demo', () => {
  it('are the same whenever they are computed: every French commune, and appointments derived by arithmetic alone', async () => {
    const [first, second] = [await initialContents(2000), await initialContents(2000)];
    expect([...first.rows]).toEqual([...second.rows]);
    expect(first.largeObject.equals(second.largeObject)).toBe(true);
    expect(first.rows.get(tables.communes)).toHaveLength(34_969);
    // As first computed: a change of the arithmetic would make the log of a demo that was kept worthless.
    expect(first.rows.get(tables.appointments)?.[1]).toEqual([
      ...['2', '59286', '8', 'RDV-0000002', '2026-06-21', '2026-07-01 15:00:00+00', 'annulé', 'information, suivi'],
    ]);
  });

  it('refer only to communes and services that exist', async () => {
    const { rows } = await initialContents(5000);
    const communes = new Set(rows.get(tables.communes)?.map(([code]) => code));
    const departements = new Set(rows.get(tables.departements)?.map(([code]) => code));
    const known = new Set(municipalServices.map(([id]) => id));
    const appointments = rows.get(tables.appointments) ?? [];
    expect(
      appointments.filter(([, commune, service]) => !communes.has(commune ?? '') || !known.has(service ?? '')),
    ).toEqual([]);
    expect(rows.get(tables.communes)?.filter(([, , departement]) => !departements.has(departement ?? ''))).toEqual([]);
    expect(new Set(appointments.map((row) => row[6]))).toEqual(new Set(states));
  });

  it('give larger communes more appointments', async () => {
    const { rows } = await initialContents(20_000);
    const count = (code: string) => rows.get(tables.appointments)?.filter((row) => row[1] === code).length ?? 0;
    const population = (code: string) => Number(rows.get(tables.communes)?.find((row) => row[0] === code)?.[3]);
    // Paris has about 3 % of the population.
    const expected = (20_000 * population('75056')) / 69_000_000;
    expect(count('75056')).toBeGreaterThan(expected * 0.8);
    expect(count('75056')).toBeLessThan(expected * 1.2);
  });

  it('mix: gives another number for another value and for another salt', () => {
    const values = Array.from({ length: 1000 }, (_, value) => mix(value, 1));
    expect(new Set(values).size).toBe(1000);
    expect(mix(7, 1)).not.toBe(mix(7, 2));
  });
});
