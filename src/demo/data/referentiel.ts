import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import type { Row } from '../model/row.js';

/** Regions, departements and communes of France as rows of the schema `referentiel`. */
export interface Referentiel {
  /** code, nom */
  readonly regions: readonly Row[];
  /** code, nom, region */
  readonly departements: readonly Row[];
  /** code, nom, departement, population (NULL where the source has none) */
  readonly communes: readonly Row[];
}

interface Entry {
  readonly code: string;
  readonly nom: string;
  readonly type?: string;
  readonly region: string;
  readonly departement: string;
  readonly population?: number;
}

/** Reads them from the package `@etalab/decoupage-administratif` (official list, open licence): about 35,000 communes. */
export async function readReferentiel(): Promise<Referentiel> {
  const [regions, departements, communes] = await Promise.all([
    entries('regions'),
    entries('departements'),
    entries('communes'),
  ]);
  return {
    regions: regions.map(({ code, nom }) => [code, nom]),
    departements: departements.map(({ code, nom, region }) => [code, nom, region]),
    // The list also holds communes that became part of another one: only those of today have a town hall of their own.
    communes: communes
      .filter(({ type }) => type === 'commune-actuelle')
      .map(({ code, nom, departement, population }) => [
        code,
        nom,
        departement,
        population === undefined ? null : String(population),
      ]),
  };
}

async function entries(name: string): Promise<readonly Entry[]> {
  // The package's own index reads ./data from the working directory, so its files are read directly.
  const path = createRequire(import.meta.url).resolve(`@etalab/decoupage-administratif/data/${name}.json`);
  return JSON.parse(await readFile(path, 'utf8')) as Entry[];
}
