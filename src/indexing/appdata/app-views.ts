/** What people are shown of an index: a page of its list of apps, or all about one of them. */
import type { Query } from '../query/query.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { AppDetails, IndexDocument } from './app-details.ts';
import { appDetails } from './app-details.ts';
import type { AppEntry } from './app-list.ts';

/** The app `app`, or the page `page` of the list, counted from 0. */
export type AppView = { readonly app: string } | { readonly page: number };

/** Entries on a page of the list. */
export const PAGE_SIZE = 100;

export interface AppListPage {
  /** Of all pages. */
  readonly total: number;
  readonly apps: readonly AppEntry[];
}

/** A name for `view` that no other one has. */
export function viewKey(view: AppView): string {
  return 'app' in view ? `app=${view.app}` : `page=${view.page}`;
}

/** `null` for an app that the index does not have. */
export async function viewApps(snapshot: Snapshot, view: AppView): Promise<AppDetails | AppListPage | null> {
  return 'app' in view ? viewApp(snapshot, view.app) : viewPage(snapshot, view.page);
}

async function viewPage(snapshot: Snapshot, page: number): Promise<AppListPage> {
  const json = await snapshot.read(snapshot.footer.apps.representations.identity);
  const { apps } = JSON.parse(json.toString()) as { apps: readonly AppEntry[] };
  return { total: apps.length, apps: apps.slice(page * PAGE_SIZE, (page + 1) * PAGE_SIZE) };
}

async function viewApp(snapshot: Snapshot, id: string): Promise<AppDetails | null> {
  const table = await snapshot.table();
  // An index may show labels as annotations.
  for (const field of ['label', 'annotation'] as const) {
    const query: Query = { conditions: [{ field, key: 'org.flatpak.ref', operator: 'matches', values: [`*/${id}/*`] }], canonical: '' };
    const images = await table.select(query, snapshot.readRange);
    if (images.length === 0) continue;
    const parts = table.compose(snapshot.footer.registry, images);
    const json = Buffer.concat(await Promise.all(parts.map(async (part) => (typeof part === 'string' ? Buffer.from(part) : snapshot.readRange(part)))));
    return appDetails(JSON.parse(json.toString()) as IndexDocument, id, snapshot.footer.repositoryPriority) ?? null;
  }
  return null;
}
