/** Paths of pages and files, as links to them are written: on a server, and among exported files. */
import { listedIcon } from '../../indexing/appdata/app-list.ts';
import { appIconPath, appListPath, appPagePath, feedPath, listingPath } from '../exported-paths.ts';
import type { Site } from '../site.ts';
import type { Listing } from './listings.ts';

/** Writes links. All are paths from the root of the host. */
export class Links {
  /** Path that all others begin with; ends with `/`. */
  readonly root: string;
  readonly #exported: boolean;
  /** The name of the only index; `undefined` if there are several. */
  readonly #only: string | undefined;

  constructor({ basePath, exported, description: { indexes } }: Pick<Site, 'basePath' | 'exported' | 'description'>) {
    this.root = `${basePath}/`;
    this.#exported = exported ?? false;
    const [first, ...others] = indexes;
    this.#only = others.length === 0 ? first?.name : undefined;
  }

  /** Path of a file of the page. */
  file(name: string): string {
    return `${this.root}page/${name}`;
  }

  /** Path of the first page of an index. */
  index(index: string): string {
    return index === this.#only ? this.root : `${this.root}${index}/`;
  }

  /**
   * Path of a list of apps.
   * @param page counted from 1
   */
  listing(index: string, { slug }: Listing, page = 1): string {
    if (this.#exported) return this.root + listingPath(index, slug, page);
    return `${this.root}${index}/${slug}${page === 1 ? '' : `?page=${page}`}`;
  }

  /** Path of the page of an app. */
  app(index: string, id: string): string {
    return `${this.root}${this.#exported ? appPagePath(index, id) : `${index}/${id}`}`;
  }

  /** Path of the file that installs an app; `query` chooses another image than the best. */
  ref(index: string, id: string, query = ''): string {
    return `${this.root}${index}/${id}.flatpakref${query}`;
  }

  /** Path of the file that adds an index. */
  repo(index: string): string {
    return `${this.root}${index}.flatpakrepo`;
  }

  /** Path of the feed of an index's updates. */
  feed(index: string): string {
    return this.root + feedPath(index);
  }

  /** Path of the JSON list of an index's apps. */
  appList(index: string): string {
    return `${this.root}${this.#exported ? appListPath(index) : `api/apps?index=${index}`}`;
  }

  /** Path of the view of the service's state; `undefined` where there is none. */
  get status(): string | undefined {
    return this.#exported ? undefined : `${this.root}?view=status`;
  }

  /**
   * URL of an icon; `undefined` if there is none, or its scheme is not allowed.
   * @param icon of an app in the list, or of its details
   */
  icon(index: string, { id, icon }: { readonly id: string; readonly icon: string }): string | undefined {
    const listed = listedIcon(icon, (version) =>
      this.#exported
        ? `../../${appIconPath(index, id)}?version=${version}`
        : `../../api/apps/${id}/icon?index=${index}&version=${version}`,
    );
    return this.resolve(index, listed);
  }

  /** Resolves a URL that is relative to the document of an index; `undefined` unless the result is a web URL. */
  resolve(index: string, relative: string): string | undefined {
    const url = relative === '' ? null : URL.parse(relative, `${HERE}${this.root}${index}/index/static`);
    if (url?.origin === HERE) return url.pathname + url.search;
    return url?.protocol === 'https:' || url?.protocol === 'http:' ? url.href : undefined;
  }
}

/** Stands for the host, whatever its name is. */
const HERE = 'http://here.invalid';
