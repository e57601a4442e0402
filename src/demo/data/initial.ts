import type { Row, TableName } from '../model/row.js';
import { APPOINTMENTS, appointmentMaker, municipalServices } from './appointments.js';
import { readReferentiel } from './referentiel.js';
import { LARGE_OBJECT_OID, tables } from './schema.js';

/** Contents of the demo's database before business begins, computed without a database. */
export interface InitialContents {
  readonly rows: ReadonlyMap<TableName, readonly Row[]>;
  /** Bytes of the one large object. */
  readonly largeObject: Buffer;
  /** Makes the appointment of a number; see {@link appointmentMaker}. */
  readonly makeAppointment: (number: number, id: string) => Row;
}

export async function initialContents(appointments = APPOINTMENTS): Promise<InitialContents> {
  const { regions, departements, communes } = await readReferentiel();
  const makeAppointment = appointmentMaker(communes);
  return {
    rows: new Map<TableName, readonly Row[]>([
      [tables.regions, regions],
      [tables.departements, departements],
      [tables.communes, communes],
      [tables.services, municipalServices],
      [
        tables.appointments,
        Array.from({ length: appointments }, (_, index) => makeAppointment(index + 1, String(index + 1))),
      ],
      [tables.attachments, [['1', 'délibération du conseil municipal.pdf', String(LARGE_OBJECT_OID)]]],
      [tables.journal, []],
    ]),
    // Longer than one page of pg_largeobject, so that a lost page shows.
    largeObject: Buffer.from(
      communes
        .slice(0, 2000)
        .map((commune) => commune.join(';'))
        .join('\n'),
    ),
    makeAppointment,
  };
}
