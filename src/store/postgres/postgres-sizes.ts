/** Sizes of the store in PostgreSQL. */
import type { StoreSize } from '../store.ts';
import type { RunQuery } from './postgres-database.ts';

/** Tables by the part of the store that they belong to. */
const TABLES: Readonly<Record<string, readonly string[]>> = {
  catalog: [
    'catalog',
    'delta',
    'dirty',
    'held_tag',
    'image',
    'image_icon',
    'image_ref',
    'index_child',
    'manifest',
    'replaced',
    'repository',
    'scanned',
    'setting',
    'stored',
    'tag',
    'wanted_delta',
  ],
  publications: ['apps', 'apps_part', 'publication'],
  chunks: ['chunk'],
  icons: ['png'],
  blobs: ['blob', 'blob_piece'],
  replicas: ['lease', 'rebuild', 'rebuild_change', 'replica', 'request', 'schema_version'],
};

/**
 * Returns the sizes of the parts of the store, each with its indexes and what the next vacuum frees.
 * @throws StoreError
 */
export async function postgresSizes(query: RunQuery): Promise<readonly StoreSize[]> {
  const rows = await query<{ table: string; size: string }>(
    'SELECT relname AS "table", pg_total_relation_size(oid) AS size FROM pg_class WHERE relname = ANY($1) AND pg_table_is_visible(oid)',
    [Object.values(TABLES).flat()],
  );
  const sizes = new Map(rows.map(({ table, size }) => [table, Number(size)]));
  return Object.entries(TABLES).map(([part, tables]) => ({
    part,
    size: tables.reduce((sum, table) => sum + (sizes.get(table) ?? 0), 0),
    log: undefined,
  }));
}
