/** The channel on which replicas notify each other of changes in the database. */

/** Its name, for LISTEN and `pg_notify`. A payload is a JSON object, and a hint: who needs to know it also polls. */
export const CHANNEL = 'regindexer';
