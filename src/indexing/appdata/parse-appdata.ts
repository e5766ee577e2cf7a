/** Parses appdata: untrusted XML, so nothing in it is expanded, followed or recursed into. */
import type { QualifiedTag, Tag } from 'sax';
import type { Appdata, Block, NamedImage, Span } from './appdata.ts';
import { NO_APPDATA } from './appdata.ts';
import { Component, type Description, MAX_BLOCKS, MAX_NAME, MAX_TEXT } from './component.ts';
import { RunningText } from './running-text.ts';
import { baseRank, isTranslation, languageOf, TranslatedSequence, UNTRANSLATED } from './translated.ts';
import { xmlParser } from './xml-parser.ts';

/** Characters that are read; real appdata has a few thousand. The rest is ignored. */
export const MAX_LENGTH = 1024 * 1024;
/** Nested elements; AppStream has nine levels. */
const MAX_DEPTH = 32;
/** Characters that are parsed at once: few, so that parsing stops soon after there is a reason to. */
const CHUNK = 16 * 1024;

/** Options of {@link parseAppdata}. */
export interface AppdataOptions {
  /** Id of the app: selects its component if there are several. */
  readonly id?: string;
  /** Elements to skip. */
  readonly passedOver?: readonly string[];
  /** Whether to read translations too. */
  readonly translations?: boolean;
}

/**
 * Parses the component of the app `id`, or else the first one. Of an invalid document, it reads what precedes the
 * error. Never throws.
 */
export function parseAppdata(xml: string, options: AppdataOptions = {}): Appdata {
  const reader = new AppdataReader(options);
  const parser = xmlParser(
    { position: false },
    {
      onopentag: (tag: Tag | QualifiedTag) => reader.open(tag),
      onclosetag: () => reader.close(),
      ontext: (text: string) => reader.text(text),
      oncdata: (text: string) => reader.text(text),
      onerror: () => reader.stop(),
    },
  );
  const end = Math.min(xml.length, MAX_LENGTH);
  for (let from = 0; from < end && reader.reading; from += CHUNK)
    parser.write(xml.slice(from, Math.min(end, from + CHUNK)));
  return reader.appdata();
}

/** Says whether a component belongs to the app: older ones have the name of its desktop file as their id. */
export function isOfApp(component: string, app: string): boolean {
  return component === app || component === `${app}.desktop`;
}

type Attributes = (Tag | QualifiedTag)['attributes'];

interface OpenElement {
  readonly name: string;
  /** Its own language, or that of what it is in. */
  readonly language: string;
  readonly attributes: Attributes;
}

/** Reads a document tag by tag. A path is the names of the open elements from the component on. */
class AppdataReader {
  readonly #id: string | undefined;
  readonly #passedOver: readonly string[];
  readonly #translations: boolean;
  readonly #open: OpenElement[] = [];
  #reading = true;
  /** Base of relative URLs of images. */
  #mediaBase = '';
  /** The component of the app, or else the first one. */
  #chosen: Component | undefined;
  #current: Component | undefined;
  /** Depth of the current component. */
  #depth = 0;
  /** Open elements within one that is skipped, including itself. */
  #passing = 0;
  #text = '';
  #description: { readonly depth: number; readonly blocks: TranslatedSequence<Block> } | undefined;
  #list: TranslatedSequence<readonly Span[]> | undefined;
  /** Text of the open paragraph or list entry. */
  #running = new RunningText(MAX_TEXT);

  constructor({ id, passedOver = [], translations = false }: AppdataOptions) {
    this.#id = id;
    this.#passedOver = passedOver;
    this.#translations = translations;
  }

  get reading(): boolean {
    return this.#reading;
  }

  stop(): void {
    if (this.#current !== undefined) this.#choose(this.#current);
    this.#current = undefined;
    this.#reading = false;
  }

  open({ name, attributes }: Tag | QualifiedTag): void {
    if (this.#open.length >= MAX_DEPTH) this.stop();
    if (!this.#reading) return;
    const own = attributes['xml:lang'];
    const language = own === undefined ? (this.#open.at(-1)?.language ?? UNTRANSLATED) : languageOf(textOf(own));
    this.#open.push({ name, language: language ?? UNTRANSLATED, attributes });
    if (this.#passing > 0 || !this.#reads(language) || this.#passedOver.includes(name)) this.#passing++;
    else if (this.#current === undefined) this.#openOutside(name, attributes);
    else if (this.#description !== undefined) this.#openBlock(name);
    else if (!this.#openField(this.#current, attributes)) this.#passing++;
  }

  close(): void {
    if (!this.#reading) return;
    const path = this.#path();
    const element = this.#open.pop();
    if (element === undefined) return;
    if (this.#passing > 0) this.#passing--;
    else if (this.#current === undefined) return;
    else if (this.#open.length < this.#depth) this.#closeComponent(this.#current);
    else if (this.#description !== undefined) this.#closeBlock(element);
    else this.#closeField(this.#current, path, element);
  }

  text(text: string): void {
    if (!this.#reading || this.#current === undefined || this.#passing > 0) return;
    if (this.#description !== undefined) this.#running.add(text);
    else if (this.#text.length < MAX_TEXT) this.#text += text.slice(0, MAX_TEXT);
  }

  /** Ends reading, and returns the result. */
  appdata(): Appdata {
    this.stop();
    return this.#chosen?.appdata() ?? NO_APPDATA;
  }

  #reads(language: string | undefined): boolean {
    return language !== undefined && (this.#translations || baseRank(language) !== undefined);
  }

  #path(): string {
    return this.#open
      .slice(this.#depth)
      .map(({ name }) => name)
      .join('/');
  }

  #choose(component: Component): void {
    if (this.#chosen === undefined || this.#isOfApp(component)) this.#chosen = component;
  }

  #isOfApp(component: Component): boolean {
    return this.#id === undefined || isOfApp(component.field('id'), this.#id);
  }

  #openOutside(name: string, attributes: Attributes): void {
    if (name === 'components') this.#mediaBase = textOf(attributes['media_baseurl']);
    if (name !== 'component' && name !== 'application') return;
    this.#depth = this.#open.length;
    this.#current = new Component(textOf(attributes['type']).slice(0, MAX_NAME));
  }

  #closeComponent(component: Component): void {
    if (this.#isOfApp(component)) this.stop();
    else this.#choose(component);
    this.#current = undefined;
  }

  /** Returns false if the element has to be skipped. */
  #openField(component: Component, attributes: Attributes): boolean {
    this.#text = '';
    switch (this.#path()) {
      case 'description':
        this.#beginDescription(component.description);
        return true;
      case 'releases/release':
        return component.beginRelease(
          textOf(attributes['version']),
          dayOf(textOf(attributes['date']), textOf(attributes['timestamp'])),
        );
      case 'releases/release/description': {
        const notes = component.releases.at(-1)?.notes;
        if (notes !== undefined) this.#beginDescription(notes);
        return notes !== undefined;
      }
      case 'screenshots/screenshot':
        return component.beginScreenshot(textOf(attributes['type']) === 'default');
      case 'content_rating':
        if (textOf(attributes['type']).startsWith('oars-')) component.beginRating();
        return true;
      default:
        return true;
    }
  }

  #closeField(component: Component, path: string, { language, attributes }: OpenElement): void {
    const text = collapsed(this.#text);
    this.#text = '';
    if (text === '') return;
    switch (path) {
      case 'keywords/keyword':
        component.addKeyword(language, text);
        break;
      case 'categories/category':
        component.addCategory(text);
        break;
      case 'url':
        component.addLink(textOf(attributes['type']), text);
        break;
      case 'releases/release/url':
        component.linkRelease(text);
        break;
      case 'screenshots/screenshot/caption':
        component.screenshots.at(-1)?.caption.add(language, text.slice(0, MAX_NAME));
        break;
      case 'screenshots/screenshot/image':
        if (baseRank(language) !== undefined) component.addImage(imageOf(this.#resolved(text), attributes));
        break;
      case 'screenshots/screenshot':
        // Older spelling: the URL itself.
        component.addImage(imageOf(text, {}));
        break;
      case 'content_rating/content_attribute':
        component.addRating(textOf(attributes['id']), text);
        break;
      default:
        if (FIELDS.has(path))
          component.addField(path, language, text.slice(0, path === 'summary' ? MAX_TEXT : MAX_NAME));
    }
  }

  #resolved(url: string): string {
    return this.#mediaBase === '' || URL.canParse(url) ? url : `${this.#mediaBase.replace(/\/+$/, '')}/${url}`;
  }

  #beginDescription(description: Description): void {
    const { length: depth } = this.#open;
    const language = this.#open.at(-1)?.language ?? UNTRANSLATED;
    this.#description = {
      depth,
      blocks: description.getOrAdd(language, () => new TranslatedSequence<Block>(MAX_BLOCKS)),
    };
    this.#running = new RunningText(MAX_TEXT);
  }

  #openBlock(name: string): void {
    if (name === 'em' || name === 'code') this.#running.open(name);
    if (name === 'ul' || name === 'ol') this.#list = new TranslatedSequence(MAX_BLOCKS);
    if (BLOCKS.has(name)) this.#running = new RunningText(MAX_TEXT);
  }

  #closeBlock({ name, language }: OpenElement): void {
    const { depth, blocks } = this.#description ?? {};
    if (depth === undefined || blocks === undefined) return;
    if (name === 'em' || name === 'code') this.#running.close();
    // Not after each of its spans, of which a text may have thousands.
    if (!BLOCKS.has(name) && this.#open.length >= depth) return;
    const text = this.#running.spans();
    const addParagraph = (): void => blocks.add('paragraph', new Map([[language, { kind: 'paragraph', text }]]));
    if (name === 'p' && text.length > 0) addParagraph();
    if (name === 'li' && text.length > 0) this.#list?.add(name, new Map([[language, text]]));
    if ((name === 'ul' || name === 'ol') && this.#list !== undefined) {
      blocks.add(name, listBlocks(name === 'ul' ? 'list' : 'numbered', this.#list));
      this.#list = undefined;
    }
    if (this.#open.length < depth) {
      // Some descriptions are plain text without markup.
      if (blocks.isEmpty && text.length > 0) addParagraph();
      this.#description = undefined;
      this.#list = undefined;
    }
    if (BLOCKS.has(name)) this.#running = new RunningText(MAX_TEXT);
    this.#text = '';
  }
}

/** Elements of a description that begin a new text. */
const BLOCKS: ReadonlySet<string> = new Set(['p', 'li', 'ul', 'ol']);
/** Elements that are a text, by their path in the component. */
const FIELDS: ReadonlySet<string> = new Set([
  'id',
  'name',
  'summary',
  'developer/name',
  'developer_name',
  'project_license',
]);

/** Returns a list in each of its languages. */
function listBlocks(kind: 'list' | 'numbered', list: TranslatedSequence<readonly Span[]>): ReadonlyMap<string, Block> {
  const { base, languages } = list;
  const blocks = new Map<string, Block>();
  for (const language of languages)
    if (isTranslation(language)) blocks.set(language, { kind, entries: list.in(language) });
  if (base.length > 0) blocks.set(UNTRANSLATED, { kind, entries: base });
  return blocks;
}

function imageOf(url: string, attributes: Attributes): NamedImage {
  return {
    kind: textOf(attributes['type']) === 'thumbnail' ? 'thumbnail' : 'source',
    url,
    width: pixelsOf(textOf(attributes['width'])),
    height: pixelsOf(textOf(attributes['height'])),
  };
}

function pixelsOf(text: string): number {
  const pixels = Number(text);
  return Number.isInteger(pixels) && pixels > 0 && pixels < 100_000 ? pixels : 0;
}

function textOf(attribute: Attributes[string] | undefined): string {
  if (attribute === undefined) return '';
  return typeof attribute === 'string' ? attribute : attribute.value;
}

function collapsed(text: string): string {
  return text.slice(0, MAX_TEXT).replace(/\s+/g, ' ').trim();
}

/** Returns a day in ISO 8601, from `date` or from seconds since the epoch. */
function dayOf(date: string, timestamp: string): string {
  const [day] = /^\d{4}-\d{2}-\d{2}/.exec(date) ?? [];
  if (day !== undefined) return day;
  return isoDay(Number(timestamp));
}

/** Formats seconds since the epoch as a day in UTC; empty if they are not a valid time. */
function isoDay(seconds: number): string {
  return seconds > 0 && seconds < 253_402_300_800 ? new Date(seconds * 1000).toISOString().slice(0, 10) : '';
}
