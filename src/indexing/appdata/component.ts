/** A component of the app data while it is read. */
import type { Appdata, AppTexts, Block, Link, NamedImage, Release, Translations } from './appdata.ts';
import { LINK_KINDS } from './appdata.ts';
import { isTranslation, Translated, type TranslatedSequence } from './translated.ts';

/** Characters of a text, and of a name. */
export const MAX_TEXT = 8_000;
export const MAX_NAME = 200;
const MAX_URL = 1024;
/** Blocks of a description, and entries of a list. */
export const MAX_BLOCKS = 200;
export const MAX_RELEASES = 20;
const MAX_SCREENSHOTS = 20;
/** Images of one screenshot. */
const MAX_IMAGES = 20;
const MAX_KEYWORDS = 50;
const MAX_CATEGORIES = 50;
const MAX_RATINGS = 100;
const MAX_LANGUAGES = 200;
/** Characters of all translations in JSON: each has the untranslated paragraphs between its own, too. */
const MAX_TRANSLATED = 4 * 1024 * 1024;

/** A description in several languages: those of its paragraphs, by the language of the whole. */
export type Description = Translated<TranslatedSequence<Block>>;

interface ReadRelease extends Omit<Release, 'notes' | 'url'> {
  readonly notes: Description;
  url: string;
}

interface ReadScreenshot {
  readonly isDefault: boolean;
  readonly caption: Translated<string>;
  readonly images: NamedImage[];
}

/** One component. */
export class Component {
  readonly type: string;
  readonly description: Description = new Translated();
  readonly releases: ReadRelease[] = [];
  readonly screenshots: ReadScreenshot[] = [];
  readonly #fields = new Map<string, Translated<string>>();
  readonly #keywords = new Translated<string[]>();
  readonly #categories = new Set<string>();
  readonly #links = new Map<string, string>();
  #rating: Map<string, string> | undefined;

  constructor(type: string) {
    this.type = type;
  }

  /** Returns an untranslated text by its path; empty if there is none. */
  field(path: string): string {
    return this.#fields.get(path)?.base ?? '';
  }

  addField(path: string, language: string, text: string): void {
    let field = this.#fields.get(path);
    if (field === undefined) this.#fields.set(path, (field = new Translated()));
    field.add(language, text);
  }

  addKeyword(language: string, keyword: string): void {
    const keywords = this.#keywords.getOrAdd(language, () => []);
    if (keywords.length < MAX_KEYWORDS) keywords.push(keyword.slice(0, MAX_NAME));
  }

  addCategory(category: string): void {
    if (this.#categories.size < MAX_CATEGORIES) this.#categories.add(category.slice(0, MAX_NAME));
  }

  /** Adds a link, unless there is one of this kind, or it is no web URL. */
  addLink(kind: string, url: string): void {
    if (isWebUrl(url) && !this.#links.has(kind)) this.#links.set(kind, url);
  }

  /** Notes that the author has answered, and perhaps that everything is harmless. */
  beginRating(): void {
    this.#rating ??= new Map();
  }

  addRating(id: string, value: string): void {
    if (this.#rating !== undefined && this.#rating.size < MAX_RATINGS)
      this.#rating.set(id.slice(0, MAX_NAME), value.slice(0, MAX_NAME));
  }

  /** Begins a release; returns whether there was room for it. */
  beginRelease(version: string, date: string): boolean {
    if (this.releases.length >= MAX_RELEASES) return false;
    this.releases.push({ version: version.slice(0, MAX_NAME), date, notes: new Translated(), url: '' });
    return true;
  }

  /** Links the last release to its notes, unless it is linked already, or this is no web URL. */
  linkRelease(url: string): void {
    const release = this.releases.at(-1);
    if (release !== undefined && isWebUrl(url)) release.url ||= url;
  }

  /** Begins a screenshot; returns whether there was room for it. */
  beginScreenshot(isDefault: boolean): boolean {
    if (this.screenshots.length >= MAX_SCREENSHOTS) return false;
    this.screenshots.push({ isDefault, caption: new Translated(), images: [] });
    return true;
  }

  /** Adds an image to the last screenshot, unless its URL is no web URL. */
  addImage(image: NamedImage): void {
    const images = this.screenshots.at(-1)?.images;
    if (images !== undefined && images.length < MAX_IMAGES && isWebUrl(image.url)) images.push(image);
  }

  appdata(): Appdata {
    const screenshots = this.screenshots
      .filter(({ images }) => images.length > 0)
      .toSorted((a, b) => Number(b.isDefault) - Number(a.isDefault));
    const untranslated = {
      name: this.field('name'),
      summary: this.field('summary'),
      developer: this.field('developer/name') || this.field('developer_name'),
      license: this.field('project_license'),
      links: LINK_KINDS.flatMap((kind): Link[] => {
        const url = this.#links.get(kind);
        return url === undefined ? [] : [{ kind, url }];
      }),
      type: this.type,
      categories: [...this.#categories],
      keywords: this.#keywords.base ?? [],
      description: baseOf(this.description),
      releases: this.releases.map(({ notes, ...release }) => ({ ...release, notes: baseOf(notes) })),
      screenshots: screenshots.map(({ caption, images }) => ({ caption: caption.base ?? '', images })),
      contentRating: this.#rating && Object.fromEntries(this.#rating),
    };
    const captions = screenshots.map(({ caption }) => caption);
    return { ...untranslated, translations: this.#translations(untranslated, captions) };
  }

  #translations(
    { name, summary, developer, keywords, description, releases, screenshots }: Omit<Appdata, 'translations'>,
    captions: readonly Translated<string>[],
  ): Translations {
    const notes: Description = this.releases[0]?.notes ?? new Translated();
    const field = (path: string, language: string): string | undefined => this.#fields.get(path)?.in(language);
    const untranslated: AppTexts = {
      name,
      summary,
      developer,
      keywords,
      description,
      notes: releases[0]?.notes ?? [],
      captions: screenshots.map(({ caption }) => caption),
    };
    const textsIn = (language: string): AppTexts => {
      const texts = {
        name: field('name', language),
        summary: field('summary', language),
        developer: field('developer/name', language) ?? field('developer_name', language),
        keywords: this.#keywords.in(language),
        description: blocksIn(this.description, language),
        notes: blocksIn(notes, language),
        captions: captions.map((caption) => caption.in(language) ?? caption.base ?? ''),
      };
      return Object.fromEntries(
        Object.entries(texts).filter(
          ([key, text]) =>
            text !== undefined && JSON.stringify(text) !== JSON.stringify(untranslated[key as keyof AppTexts]),
        ),
      );
    };
    const translations: Record<string, AppTexts> = {};
    let room = MAX_TRANSLATED;
    for (const language of [...this.#languages(captions, notes)]
      .filter(isTranslation)
      .toSorted()
      .slice(0, MAX_LANGUAGES)) {
      const texts = textsIn(language);
      room -= JSON.stringify(texts).length;
      if (room < 0) break;
      if (Object.keys(texts).length > 0) translations[language] = texts;
    }
    return translations;
  }

  #languages(captions: readonly Translated<string>[], notes: Description): ReadonlySet<string> {
    return new Set([
      ...this.#keywords.languages,
      ...[...this.#fields.values(), ...captions].flatMap(({ languages }) => [...languages]),
      ...[this.description, notes].flatMap(({ languages, base }) => [...languages, ...(base?.languages ?? [])]),
    ]);
  }
}

function baseOf(description: Description): readonly Block[] {
  return description.base?.base ?? [];
}

/** Returns a description in one language; `undefined` if nothing of it is translated. */
function blocksIn(description: Description, language: string): readonly Block[] | undefined {
  const whole = description.in(language) ?? description.base;
  return whole?.has(language) === true ? whole.in(language) : undefined;
}

function isWebUrl(text: string): boolean {
  return text.length <= MAX_URL && /^https?:\/\//i.test(text) && URL.canParse(text);
}
