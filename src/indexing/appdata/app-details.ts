/** The details of one app, from its images in the document of an index. */
import type { Digest } from '../../registry/digest.ts';
import { DELTA_URL, deltaManifestAt } from '../deltas/delta-manifest.ts';
import { type AgeRating, ageRatingOf } from './age-rating.ts';
import type { Appdata, AppTexts, NamedScreenshot, Translations } from './appdata.ts';
import { mainCategories } from './categories.ts';
import type { AppKind, EndOfLife, FlatpakRef, LabelReader } from './flatpak-image.ts';
import { builtAt, endOfLifeOf, FLATPAK_REF, isoSeconds, kindOf, parseFlatpakRef } from './flatpak-image.ts';
import { identityOf, Winners } from '../select/winners.ts';
import {
  type AppEntry,
  comparableRank,
  iconOf,
  listedIcon,
  MAX_KEYWORDS,
  MAX_SUMMARY,
  outranks,
  placesBy,
  rankOf,
} from './app-list.ts';
import { type KeyFile, parseKeyFile } from './key-file.ts';
import { parseAppdata } from './parse-appdata.ts';
import { licenseName } from './license-name.ts';
import type { Permission, Safety } from './permissions.ts';
import { permissionsOf, safetyOf } from './permissions.ts';
import type { Screenshot } from '../screenshots/screenshots.ts';

/** One build of the app. Sizes are in bytes, 0 if unknown. */
export interface AppImage {
  readonly repository: string;
  readonly tags: readonly string[];
  readonly digest: string;
  /** A GOARCH name. */
  readonly architecture: string;
  readonly ref: string;
  readonly branch: string;
  /** `ID/ARCHITECTURE/BRANCH` of its runtime, or of what it extends; empty if unknown. */
  readonly runtime: string;
  /** URL of a `.flatpakrepo` that has its runtime, from the image's label; empty if there is none. */
  readonly runtimeRepo: string;
  readonly installedSize: number;
  readonly downloadSize: number;
  /** ISO 8601. */
  readonly built: string;
  /** Deltas that clients download instead of all of it, if they have the version that one leads from. */
  readonly updates: readonly AppUpdate[];
}

/** A delta that leads to an image. */
export interface AppUpdate {
  /** The version that it leads from; empty if unknown. */
  readonly from: string;
  /** In bytes. */
  readonly size: number;
}

/** Details of one app, for its page and the API. Unknown texts are empty. */
export interface AppDetails
  extends Omit<Appdata, 'type' | 'screenshots' | 'contentRating' | 'translations'>, EndOfLife {
  readonly id: string;
  readonly kind: AppKind;
  /** A URI relative to the index's document, or a `data:` URI of a PNG. */
  readonly icon: string;
  /** The license in words. */
  readonly licenseName: string;
  /** The first of {@link links} that is a homepage. */
  readonly homepage: string;
  /** See {@link mainCategories}. */
  readonly categories: readonly string[];
  readonly screenshots: readonly Screenshot[];
  /** `null` if its author has not answered the questions of OARS. */
  readonly ageRating: AgeRating | null;
  readonly safety: Safety;
  /** BCP 47 tags of the languages that its texts are translated to, sorted. */
  readonly languages: readonly string[];
  /** When the newest of its images was built, in ISO 8601; empty if unknown. */
  readonly updated: string;
  /** `ID/ARCHITECTURE/BRANCH` of its runtime, or of what it extends; empty if unknown. */
  readonly runtime: string;
  readonly permissions: readonly Permission[];
  readonly images: readonly AppImage[];
}

type JsonImage = Readonly<{
  Tags?: readonly string[];
  Digest: string;
  OS: string;
  Architecture: string;
  Labels: Readonly<Record<string, string>>;
  Annotations: Readonly<Record<string, string>>;
}>;
/** The document of an index (flatpak-oci-specs, registry-index.md). */
export interface IndexDocument {
  readonly Results: readonly {
    readonly Name: string;
    readonly Images: readonly JsonImage[];
    readonly Lists: readonly { readonly Tags: readonly string[]; readonly Images: readonly JsonImage[] }[];
  }[];
}

interface Candidate {
  readonly ref: FlatpakRef;
  readonly label: LabelReader;
  readonly image: Omit<AppImage, 'updates'>;
  readonly rank: readonly number[];
}

/** An app with its texts in all languages. */
export interface DescribedApp {
  readonly details: AppDetails;
  readonly translations: Translations;
}

/** Options of {@link describeApp}. */
export interface DescribeOptions {
  readonly repositoryPriority: readonly string[];
  /** Returns screenshots as they are shown, as {@link shownScreenshots} does. */
  readonly show: (screenshots: readonly NamedScreenshot[]) => readonly (Screenshot | undefined)[];
  /** Reads the deltas that a manifest of them names; none if it is missing. */
  readonly updatesIn: (deltaManifest: Digest) => Promise<readonly AppUpdate[]>;
}

/** Describes the app `id`; `undefined` if `document` has no image of it. */
export async function describeApp(
  document: IndexDocument,
  id: string,
  { repositoryPriority, show, updatesIn }: DescribeOptions,
): Promise<DescribedApp | undefined> {
  const winners = new Winners();
  const placeOf = placesBy(repositoryPriority);
  const candidate = (repository: string, allTags: readonly string[], image: JsonImage): Candidate[] => {
    const label: LabelReader = (key) => own(image.Labels, key) ?? own(image.Annotations, key);
    const ref = parseFlatpakRef(label(FLATPAK_REF));
    const { Digest: digest, OS: os, Architecture: architecture } = image;
    const identity = identityOf({ digest, os, architecture }, label);
    const hidden = winners.add(repository, allTags, identity);
    const tags = allTags.filter((tag) => !hidden.includes(tag));
    if (ref?.id !== id || identity === undefined || tags.length === 0) return [];
    return [
      {
        ref,
        label,
        rank: comparableRank(rankOf(ref, tags, architecture, label), placeOf(repository)),
        image: appImage(repository, tags, image, ref, label),
      },
    ];
  };
  const candidates = document.Results.flatMap(({ Name, Images, Lists }) => [
    ...Images.flatMap((image) => candidate(Name, image.Tags ?? [], image)),
    ...Lists.flatMap(({ Tags, Images: images }) => images.flatMap((image) => candidate(Name, Tags, image))),
  ]);
  const [first, ...others] = candidates;
  if (first === undefined) return undefined;
  const { ref, label } = others.reduce((best, other) => (outranks(other.rank, best.rank) ? other : best), first);

  const metadata = parseKeyFile(label('org.flatpak.metadata') ?? '');
  const {
    type: _type,
    screenshots: named,
    contentRating,
    translations: texts,
    ...appdata
  } = parseAppdata(label('org.freedesktop.appstream.appdata') ?? '', { id, translations: true });
  const images = await Promise.all(
    candidates
      .toSorted((a, b) => Number(outranks(b.rank, a.rank)) - Number(outranks(a.rank, b.rank)))
      .map(async ({ image, label: its }): Promise<AppImage> => {
        const manifest = deltaManifestAt(its(DELTA_URL));
        return { ...image, updates: manifest === undefined ? [] : await updatesIn(manifest) };
      }),
  );
  const screenshots = show(named);
  // Captions are in the order of the screenshots that are shown.
  const translations = Object.fromEntries(
    Object.entries(texts).map(([language, { captions, ...its }]): [string, AppTexts] => {
      const shown = captions?.filter((_, place) => screenshots[place] !== undefined);
      return [language, shown === undefined || shown.length === 0 ? its : { ...its, captions: shown }];
    }),
  );
  const details = {
    id,
    kind: kindOf(ref, metadata),
    ...appdata,
    name: appdata.name || id,
    icon: iconOf(label),
    licenseName: licenseName(appdata.license),
    homepage: appdata.links.find(({ kind }) => kind === 'homepage')?.url ?? '',
    categories: mainCategories(appdata.categories),
    screenshots: screenshots.filter((screenshot) => screenshot !== undefined),
    ageRating: ageRatingOf(contentRating) ?? null,
    runtime: runtimeOf(metadata),
    safety: safetyOf(metadata),
    permissions: permissionsOf(metadata),
    ...endOfLifeOf(label),
    languages: Object.keys(translations),
    updated: images.reduce((newest, { built }) => (built > newest ? built : newest), ''),
    images,
  };
  return { details, translations };
}

/**
 * Returns the entry of an app in the list of its index, from its details, which do not have the times of the list.
 * @param iconServedAt see {@link listedIcon}
 */
export function entryOf(
  {
    id,
    kind,
    name,
    summary,
    developer,
    keywords,
    categories,
    icon,
    endOfLife,
    replacedBy,
    images,
    updated,
  }: AppDetails,
  iconServedAt: (version: string) => string,
): Omit<AppEntry, 'added' | 'changed'> {
  return {
    id,
    kind,
    name,
    summary: summary.slice(0, MAX_SUMMARY),
    developer,
    keywords: keywords.slice(0, MAX_KEYWORDS),
    categories,
    icon: listedIcon(icon, iconServedAt),
    endOfLife,
    replacedBy,
    architectures: [...new Set(images.map(({ architecture }) => architecture))].toSorted(),
    tags: [...new Set(images.flatMap(({ tags }) => tags))].toSorted(),
    updated,
  };
}

function appImage(
  repository: string,
  tags: readonly string[],
  image: JsonImage,
  ref: FlatpakRef,
  label: LabelReader,
): Candidate['image'] {
  return {
    repository,
    tags,
    digest: image.Digest,
    architecture: image.Architecture,
    ref: `${ref.type}/${ref.id}/${ref.architecture}/${ref.branch}`,
    branch: ref.branch,
    runtime: runtimeOf(parseKeyFile(label('org.flatpak.metadata') ?? '')),
    runtimeRepo: label('org.flatpak.runtime-repo') ?? '',
    installedSize: bytes(label('org.flatpak.installed-size')),
    downloadSize: bytes(label('org.flatpak.download-size')),
    built: isoSeconds(builtAt(label)),
  };
}

function runtimeOf(metadata: KeyFile): string {
  const group = metadata.get('Application') ?? metadata.get('Runtime');
  return (
    metadata
      .get('ExtensionOf')
      ?.get('ref')
      ?.replace(/^(?:app|runtime)\//, '') ??
    group?.get('runtime') ??
    ''
  );
}

function own(pairs: Readonly<Record<string, string>>, key: string): string | undefined {
  return Object.hasOwn(pairs, key) ? pairs[key] : undefined;
}

function bytes(text: string | undefined): number {
  const number = Number(text);
  return Number.isSafeInteger(number) && number > 0 ? number : 0;
}
