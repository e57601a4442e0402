import type { TableName } from '../model/row.js';

/** Owns the schemas and all that is in them; nobody logs in as it. */
export const OWNER_ROLE = 'mairie_proprietaire';
/** The business client's role. */
export const CLIENT_ROLE = 'guichet';
export const DATABASE = 'mairie';
/** Fixed, so that the expected contents need not be asked of the database. */
export const LARGE_OBJECT_OID = 424_242;

export const tables = {
  regions: 'referentiel.regions',
  departements: 'referentiel.departements',
  communes: 'referentiel.communes',
  services: 'metier.services',
  appointments: 'metier.demandes_rdv',
  attachments: 'metier.pieces_jointes',
  journal: 'metier.journal',
} as const satisfies Record<string, TableName>;

/** Tables without constraints between them: they are added once the rows are there, which is several times faster. */
export const beforeRows = `
  CREATE SCHEMA referentiel AUTHORIZATION ${OWNER_ROLE};
  CREATE SCHEMA metier AUTHORIZATION ${OWNER_ROLE};
  SET ROLE ${OWNER_ROLE};
  CREATE TABLE referentiel.regions (code text PRIMARY KEY, nom text NOT NULL);
  CREATE TABLE referentiel.departements (code text PRIMARY KEY, nom text NOT NULL, region text NOT NULL);
  CREATE TABLE referentiel.communes (code text PRIMARY KEY, nom text NOT NULL, departement text NOT NULL, population integer);
  CREATE TABLE metier.services (id smallint PRIMARY KEY, nom text NOT NULL UNIQUE);
  CREATE TABLE metier.demandes_rdv (
    id bigint GENERATED ALWAYS AS IDENTITY,
    commune text NOT NULL,
    service smallint NOT NULL,
    dossier text NOT NULL,
    depose_le date NOT NULL,
    rdv_le timestamptz NOT NULL,
    statut text NOT NULL CHECK (statut IN ('demandé', 'confirmé', 'honoré', 'annulé')),
    motif text
  );
  CREATE TABLE metier.pieces_jointes (id integer PRIMARY KEY, nom text NOT NULL, objet oid NOT NULL);
  CREATE TABLE metier.journal (numero bigint PRIMARY KEY, action text NOT NULL, demande bigint NOT NULL, ecrit_le timestamptz NOT NULL);
`;

export const afterRows = `
  ALTER TABLE referentiel.departements ADD FOREIGN KEY (region) REFERENCES referentiel.regions;
  ALTER TABLE referentiel.communes ADD FOREIGN KEY (departement) REFERENCES referentiel.departements;
  ALTER TABLE metier.demandes_rdv ADD PRIMARY KEY (id);
  ALTER TABLE metier.demandes_rdv ADD FOREIGN KEY (commune) REFERENCES referentiel.communes;
  ALTER TABLE metier.demandes_rdv ADD FOREIGN KEY (service) REFERENCES metier.services;
  SELECT setval(pg_get_serial_sequence('metier.demandes_rdv', 'id'), (SELECT max(id) FROM metier.demandes_rdv));
  CREATE INDEX demandes_rdv_commune ON metier.demandes_rdv (commune, rdv_le);
  CREATE VIEW metier.rdv_par_departement AS
    SELECT c.departement, count(*) AS demandes, count(*) FILTER (WHERE r.statut = 'annulé') AS annulees
    FROM metier.demandes_rdv r JOIN referentiel.communes c ON c.code = r.commune GROUP BY c.departement;
  GRANT USAGE ON SCHEMA referentiel, metier TO ${CLIENT_ROLE};
  GRANT SELECT ON ALL TABLES IN SCHEMA referentiel, metier TO ${CLIENT_ROLE};
  GRANT INSERT, UPDATE, DELETE ON metier.demandes_rdv TO ${CLIENT_ROLE};
  GRANT INSERT ON metier.journal TO ${CLIENT_ROLE};
  RESET ROLE;
  ALTER DATABASE ${DATABASE} SET search_path = metier, referentiel, public;
  ANALYZE;
`;
