/**
 * Writes a site as plain files: what its server answers, and its images, for hosts that ignore the query of a URL.
 * Content comes first and the indexes last, so that what an index names is always there.
 */
import { hash } from 'node:crypto';
import pMap from 'p-map';
import { type AppUpdate, entryOf } from '../indexing/appdata/app-details.ts';
import { type AppEntry, sortEntries } from '../indexing/appdata/app-list.ts';
import { AppPages, AppPagesEncoder } from '../indexing/appdata/app-pages.ts';
import { readAppUpdates } from '../indexing/deltas/app-updates.ts';
import {
  deltaManifestPath,
  deltaPath,
  DELTAS_PATH,
  readNamedDeltas,
  streamDelta,
} from '../indexing/deltas/delta-manifest.ts';
import { iconPath } from '../indexing/icons/icon-path.ts';
import { isPngUri } from '../indexing/icons/png-uri.ts';
import { type KeptPictures, SCREENSHOTS } from '../indexing/screenshots/screenshots.ts';
import type { Digest } from '../registry/digest.ts';
import { OCI_IMAGE_MANIFEST } from '../registry/media-types.ts';
import type { ImageSource } from '../registry/registry-source.ts';
import {
  type Headers,
  indexNamed,
  type ServedIndex,
  type ServedIndexOptions,
} from '../server/documents/served-index.ts';
import {
  appIconPath,
  appListPath,
  appPagePath,
  appPath,
  feedPath,
  listingPath,
  translationsPath,
} from '../server/exported-paths.ts';
import { IMMUTABLE, indexCacheControl } from '../server/http/caching.ts';
import { othersOf } from '../server/pages/app.ts';
import { pagesOf } from '../server/pages/listing.ts';
import { LISTINGS } from '../server/pages/listings.ts';
import { pageFiles } from '../server/routes/page.ts';
import type { Server } from '../server/server.ts';
import type { Site } from '../server/site.ts';
import { ExportError } from './export-error.ts';
import { ExportFolder, type FileCounts } from './export-folder.ts';
import { headersFile } from './headers-file.ts';
import { copyImages, type CopyOptions } from './image-files.ts';
import { type RememberedApp, RememberedApps, type Surroundings } from './remembered-apps.ts';
import { tagIndex, type TaggedIndex } from './tagged-index.ts';

/** Files that are written at the same time. */
const FILES_AT_ONCE = 16;
/** Headers of an answer that its file is to be sent with. */
const TYPE = 'content-type';
const COPIED = ['cache-control', 'content-security-policy', TYPE] as const;
const JSON_TYPE = 'application/json; charset=utf-8';

/** An index to export. */
export interface ExportedIndex extends ServedIndexOptions {
  /** `Registry` of its document; that of the service if `undefined`. */
  readonly registry: string | undefined;
  /** Where its images are read, to copy them; `undefined` if they are not exported. */
  readonly images: ImageSource | undefined;
}

/** Options of {@link exportSite}. */
export interface ExportOptions extends CopyOptions {
  /** The site as it is served; all its indexes are built. */
  readonly site: Site;
  readonly baseUrl: string;
  readonly indexes: readonly ExportedIndex[];
  /** The images with this tag are exported. */
  readonly tag: string;
  /** Path of the folder. */
  readonly folder: string;
  /** How long files that no export names any more are kept, in milliseconds. */
  readonly cleanFilesAfter: number;
  /** Identifies the program: another one may answer something else. */
  readonly program: string;
  readonly createServer: (site: Site) => Promise<Server>;
}

/** Summary of an export. */
export interface ExportResult extends FileCounts {
  /** Repositories whose manifests the host must send with the media type of OCI's image manifests. */
  readonly untyped: readonly string[];
  /** Names of indexes that have no Flatpak with the tag. */
  readonly empty: readonly string[];
}

/**
 * Writes a site as files.
 * @throws RegistryError if an image could not be copied; Error with the path if a file could not be written
 */
export async function exportSite(options: ExportOptions): Promise<ExportResult> {
  const { site, indexes, tag, folder: path, cleanFilesAfter, createServer, signal } = options;
  const tagged: TaggedIndex[] = [];
  for (const { registry, images: _images, ...index } of indexes) {
    const served = indexNamed(site.indexes, index.name);
    const { shown } = served;
    if (shown === undefined)
      throw new ExportError(
        `the index ${index.name} could not be built yet, so nothing was exported; the messages above say why`,
      );
    const readPictures = (): Promise<KeptPictures> => served.pictures();
    const readUpdates = (manifest: Digest): Promise<readonly AppUpdate[]> => readAppUpdates(site.blobs, manifest);
    const narrowing = { ...index, registry: registry ?? shown.publication.registry, readPictures, readUpdates, signal };
    tagged.push(await tagIndex(shown, tag, narrowing));
  }
  const server = await createServer({
    ...site,
    indexes: new Map(tagged.map(({ index }) => [index.name, index])),
    exported: true,
  });
  try {
    const folder = await ExportFolder.open(path);
    const remembered = await RememberedApps.load(folder);
    const untyped = await new Exporter(options, folder, remembered, server, tagged).write();
    await remembered.save();
    const empty = tagged.filter(({ images }) => images.length === 0).map(({ index }) => index.name);
    return { ...(await folder.end(cleanFilesAfter)), untyped, empty };
  } finally {
    await server.close(0);
  }
}

/** Returns a hash of all that the server's answers about all apps depend on. */
function everywhereOf({ site, baseUrl, indexes, tag, program }: ExportOptions): string {
  // Whatever is added to a site counts, unless it is left out here.
  const {
    indexes: _indexes,
    questions: _questions,
    readIcon: _readIcon,
    blobs: _blobs,
    onBlobLost: _onBlobLost,
    pullSources: _pullSources,
    registryProxy: _registryProxy,
    rebuilds: _rebuilds,
    reindex: _reindex,
    events: _events,
    status: _status,
    storeSizes: _storeSizes,
    sharing: _sharing,
    ...texts
  } = site;
  const options = indexes.map(({ images: _images, joined: _joined, ...index }) => index);
  return hash(
    'sha256',
    JSON.stringify([program, tag, baseUrl, options, { ...texts, signatures: [...texts.signatures] }]),
    'base64url',
  );
}

type Answer = Awaited<ReturnType<Server['fastify']['inject']>>;

/** One export. */
class Exporter {
  readonly #options: ExportOptions;
  readonly #folder: ExportFolder;
  readonly #remembered: RememberedApps;
  readonly #server: Server;
  readonly #tagged: readonly TaggedIndex[];
  /** Identifies what the files of all apps depend on. */
  readonly #everywhere: string;

  constructor(
    options: ExportOptions,
    folder: ExportFolder,
    remembered: RememberedApps,
    server: Server,
    tagged: readonly TaggedIndex[],
  ) {
    this.#options = options;
    this.#folder = folder;
    this.#remembered = remembered;
    this.#everywhere = everywhereOf(options);
    this.#server = server;
    this.#tagged = tagged;
  }

  /** Writes all files; returns repositories as {@link copyImages} does. */
  async write(): Promise<readonly string[]> {
    for (const index of this.#tagged) {
      await this.#writeIcons(index);
      await this.#writeSignatures(index);
      await this.#writeDeltas(index);
    }
    const untyped = await this.#writeImages();
    for (const index of this.#tagged) await this.#writeApps(index);
    await this.#writePage();
    await this.#writeHeaders(untyped);
    await this.#writeIndexes();
    return untyped;
  }

  /** Writes the icons that the documents name, unless they are elsewhere. */
  async #writeIcons({ index: { name }, icons }: TaggedIndex): Promise<void> {
    for (const path of this.#iconFolders(name)) {
      await this.#each(icons, async (icon) => {
        await this.#folder.writeOnce(
          decodeURIComponent(path) + iconPath(icon),
          undefined,
          async () => (await this.#get(`/icons/${iconPath(icon)}`)).rawPayload,
        );
      });
    }
  }

  /** Writes the deltas that the documents name, and then their manifests. */
  async #writeDeltas({ deltaManifests }: TaggedIndex): Promise<void> {
    const { blobs } = this.#options.site;
    for (const manifest of deltaManifests) {
      for (const delta of await readNamedDeltas(blobs, manifest))
        await this.#folder.writeOnce(DELTAS_PATH.slice(1) + deltaPath(delta.digest), delta.size, () => async (file) => {
          await file.writeFile(streamDelta(blobs, delta));
        });
      const path = DELTAS_PATH + deltaManifestPath(manifest);
      await this.#folder.writeOnce(path.slice(1), undefined, async () => (await this.#get(path)).rawPayload);
    }
  }

  /** Returns the folders that `icons_uri` leads to from the documents of an index, as in URLs, with a last `/`. */
  #iconFolders(name: string): ReadonlySet<string> {
    const { site, baseUrl } = this.#options;
    const root = new URL(`${site.basePath}/`, baseUrl).href;
    const documents = [`${name}/index/static`, ...(name === site.defaultIndex ? ['index/static'] : [])];
    const folders = documents.map((document) => new URL(site.iconsUri, root + document).href);
    return new Set(folders.filter((folder) => folder.startsWith(root)).map((folder) => folder.slice(root.length)));
  }

  /** Copies all signatures of the images. */
  async #writeSignatures({ index: { name }, images }: TaggedIndex): Promise<void> {
    if (!this.#options.site.signatures.has(name)) return;
    await this.#each(images, async ({ repository, digest }) => {
      for (let number = 1; ; number++) {
        const path = `${name}/signatures/${repository}@${digest.replace(':', '=')}/signature-${number}`;
        const signature = await this.#find(`/${path}`);
        if (signature === undefined) return;
        await this.#folder.write(path, signature.rawPayload);
      }
    });
  }

  async #writeImages(): Promise<readonly string[]> {
    const images = this.#tagged.flatMap((tagged, place) => {
      const source = this.#options.indexes[place]?.images;
      return source === undefined ? [] : tagged.images.map((image) => ({ ...image, source }));
    });
    return copyImages(this.#folder, images, this.#options);
  }

  /** Writes the files of each app that has changed, then the list of all. */
  async #writeApps(tagged: TaggedIndex): Promise<void> {
    const { index, apps } = tagged;
    const { tag } = this.#options;
    const { name } = index;
    const entries: AppEntry[] = [];
    const served = indexNamed(this.#options.site.indexes, name);
    const listed = (await served.appPages?.seen()) ?? {};
    const logo = (await served.logo()) ?? '';
    const pictures = await served.pictures();
    const surroundings: Surroundings = {
      has: (id) => apps.has(id),
      pictureAt: (url) => (Object.hasOwn(pictures, url) ? pictures[url]?.digest : undefined) ?? '',
    };
    await this.#each([...apps], async ([id, chunks]) => {
      const source = hash('sha256', [this.#everywhere, logo, ...chunks].join(' '), 'base64url');
      const times = listed[id] ?? { added: '', changed: '' };
      const { entry, seen = times } =
        (await this.#remembered.recall(name, id, source, surroundings)) ??
        (await this.#writeApp(tagged, id, source, { ...surroundings, times }));
      const { added, changed } = seen;
      if (entry !== undefined) entries.push({ ...entry, added, changed });
    });
    const list = AppPages.read(await new AppPagesEncoder(name).encode(sortEntries(entries), () => undefined));
    if (list !== undefined) index.useApps(list, index.shown?.publication.version ?? 0);
    await this.#write(appListPath(name), `/api/apps?index=${name}`);
    await this.#write(`${name}.flatpakrepo`, `/${name}.flatpakrepo?tag=${tag}`);
  }

  /**
   * Writes all files of an app: its details, icon, page and `.flatpakref`. Of other apps, they must depend on nothing but
   * whether those that it names are there, since they stay as they are while this one does not change.
   */
  async #writeApp(
    { index }: TaggedIndex,
    id: string,
    source: string,
    { has, pictureAt, times }: Surroundings & { readonly times: Pick<AppEntry, 'added' | 'changed'> },
  ): Promise<RememberedApp> {
    const { name } = index;
    const files: Record<string, number> = {};
    const write = async (path: string, content: Buffer): Promise<void> => {
      await this.#folder.write(path, content);
      files[path] = content.length;
    };
    let entry: RememberedApp['entry'];
    let seen: RememberedApp['seen'];
    const { details, pictureUrls = [] } = (await index.app(id)) ?? {};
    // Otherwise clients skip its images.
    if (details !== undefined) {
      const icon = isPngUri(details.icon) ? await this.#find(`/api/apps/${id}/icon?index=${name}`) : undefined;
      // Unless it is damaged.
      if (icon !== undefined) await write(appIconPath(name, id), icon.rawPayload);
      // As the server answers it.
      await write(appPath(name, id), Buffer.from(JSON.stringify(details)));
      if (details.languages.length > 0) {
        const translations = await this.#get(`/api/apps/${id}/translations?index=${name}`);
        await write(translationsPath(name, id), translations.rawPayload);
      }
      for (const { src } of details.screenshots.flatMap(({ images }) => images)) {
        const path = exportedPicture(src);
        if (path !== undefined) await write(path, (await this.#get(`/${path}`)).rawPayload);
      }
      const ref = `${name}/${id}.flatpakref`;
      await write(ref, (await this.#get(`/${ref}?tag=${this.#options.tag}`)).rawPayload);
      await write(appPagePath(name, id), (await this.#get(`/${name}/${id}`)).rawPayload);
      entry = entryOf(details, (version) => `../../${appIconPath(name, id)}?version=${version}`);
      // The list's times are of all tags.
      const images = hash(
        'sha256',
        JSON.stringify(details.images.map(({ repository, tags, digest }) => [repository, tags, digest])),
        'base64url',
      ).slice(0, 16);
      const before = this.#remembered.seen(name, id);
      seen = before?.images === images ? before : { images, added: times.added, changed: times.changed };
    }
    const others = Object.fromEntries(
      (details === undefined ? [] : othersOf(details)).map((other) => [other, has(other)]),
    );
    const pictures = Object.fromEntries(pictureUrls.map((url) => [url, pictureAt(url)]));
    const app = { source, files, others, pictures, entry, seen };
    this.#remembered.remember(name, id, app);
    return app;
  }

  /** Writes the files of the pages, then the lists of apps, and the first pages last. */
  async #writePage(): Promise<void> {
    for (const file of await pageFiles()) await this.#write(`page/${file}`, `/page/${file}`);
    for (const { index } of this.#tagged) {
      const logo = await index.logo();
      if (logo !== undefined) await this.#write(logo, `/${logo}`);
      await this.#writeListings(index);
    }
    for (const { index } of this.#tagged) await this.#write(`${index.name}/index.html`, `/${index.name}/`);
    await this.#write('index.html', '/');
    for (const { index } of this.#tagged) await this.#write(feedPath(index.name), `/${feedPath(index.name)}`);
    for (const file of ['sitemap.xml', 'robots.txt']) await this.#write(file, `/${file}`);
  }

  async #writeListings({ name, appPages: apps }: ServedIndex): Promise<void> {
    if (apps === undefined) return;
    for (const listing of LISTINGS) {
      if (apps.count(listing.name) === 0) continue;
      for (let page = 1; page <= pagesOf(apps, listing); page++)
        await this.#write(listingPath(name, listing.slug, page), `/${name}/${listing.slug}?page=${page}`);
    }
  }

  /** Writes the files that hosts read. */
  async #writeHeaders(untyped: readonly string[]): Promise<void> {
    const { site, indexes } = this.#options;
    const rules = new Map<string, Headers>();
    const copy = async (path: string, url: string): Promise<void> => {
      const { headers } = await this.#get(url);
      const copied = COPIED.filter((name) => headers[name] !== undefined && !(name === TYPE && path.endsWith('*')));
      rules.set(path, Object.fromEntries(copied.map((name) => [name, String(headers[name])])));
    };
    await copy('/', '/');
    await copy('/page/*', '/page/main.js');
    for (const { name, fileName, maxAge } of indexes) {
      const cached = { 'cache-control': indexCacheControl(maxAge) };
      const documents = [`/${name}/index/static`, `/index/${fileName}.json`];
      for (const document of [...documents, ...(name === site.defaultIndex ? ['/index/static'] : [])])
        rules.set(document, { ...cached, [TYPE]: JSON_TYPE });
      await copy(`/api/${name}/*`, `/api/apps?index=${name}`);
      await copy(`/${name}.flatpakrepo`, `/${name}.flatpakrepo`);
      await copy(`/${feedPath(name)}`, `/${feedPath(name)}`);
      for (const folder of this.#iconFolders(name)) rules.set(`/${folder}*`, { 'cache-control': IMMUTABLE });
    }
    rules.set(`/${SCREENSHOTS}/*`, { 'cache-control': IMMUTABLE });
    rules.set('/v2/*', { 'cache-control': IMMUTABLE });
    for (const repository of untyped) rules.set(`/v2/${repository}/manifests/*`, { [TYPE]: OCI_IMAGE_MANIFEST });
    await this.#folder.write('_headers', headersFile(rules, site.basePath));
    // GitHub Pages would leave out files whose names begin with `_`.
    await this.#folder.write('.nojekyll', '');
  }

  /** Writes the documents of all indexes, that of the default index last. */
  async #writeIndexes(): Promise<void> {
    const { site, signal } = this.#options;
    const write = async (path: string, { shown }: ServedIndex): Promise<void> => {
      signal.throwIfAborted();
      if (shown !== undefined) await this.#folder.writeDocument(path, shown.whole);
    };
    for (const { name, fileName } of this.#options.indexes)
      await write(`index/${fileName}.json`, indexNamed(site.indexes, name));
    for (const { index } of this.#tagged) await write(`${index.name}/index/static`, index);
    for (const { index } of this.#tagged) if (index.name === site.defaultIndex) await write('index/static', index);
  }

  /** Writes what the server answers. */
  async #write(path: string, url: string): Promise<void> {
    await this.#folder.write(path, (await this.#get(url)).rawPayload);
  }

  /** @throws ExportError unless the answer is a success */
  async #get(url: string): Promise<Answer> {
    const answer = await this.#find(url);
    if (answer === undefined) throw new ExportError(`there is no ${url}, so the indexes were left as they were`);
    return answer;
  }

  /**
   * Returns an answer; `undefined` if it is a 404.
   * @throws ExportError if it is another error
   */
  async #find(url: string): Promise<Answer | undefined> {
    const answer = await this.#server.fastify.inject(url);
    const { statusCode, body } = answer;
    if (statusCode === 404) return undefined;
    if (statusCode !== 200)
      throw new ExportError(`${url} was answered with ${statusCode}, so the indexes were left as they were: ${body}`);
    return answer;
  }

  /** Runs `work` for several at the same time. */
  async #each<T>(all: readonly T[], work: (one: T) => Promise<void>): Promise<void> {
    await pMap(all, work, { concurrency: FILES_AT_ONCE, signal: this.#options.signal });
  }
}

/** Returns the path of a screenshot that is served from here; `undefined` if it is elsewhere. */
function exportedPicture(src: string): string | undefined {
  return src.startsWith('../../') ? src.slice('../../'.length) : undefined;
}
