/** Parses appdata: untrusted XML, so nothing in it is expanded, followed or recursed into. */
import type { QualifiedTag, Tag } from 'sax';
import type { Appdata, Block, Release, Span } from './appdata.ts';
import { NO_APPDATA } from './appdata.ts';
import { RunningText } from './running-text.ts';
import { xmlParser } from './xml-parser.ts';

/** Characters that are read; real appdata has a few thousand. The rest is ignored. */
export const MAX_LENGTH = 1024 * 1024;
/** Nested elements; AppStream has nine levels. */
const MAX_DEPTH = 32;
/** Characters that are parsed at once: few, so that parsing stops soon after there is a reason to. */
const CHUNK = 16 * 1024;
const MAX_TEXT = 8_000;
const MAX_NAME = 200;
const MAX_BLOCKS = 200;
const MAX_RELEASES = 20;
const MAX_KEYWORDS = 50;

/** Options of {@link parseAppdata}. */
export interface AppdataOptions {
  /** Id of the app: selects its component if there are several. */
  readonly id?: string;
  /** Elements to skip. */
  readonly passedOver?: readonly string[];
}

/**
 * Parses the component of the app `id`, or else the first one. Of an invalid document, it reads what precedes the
 * error; it skips translations. Never throws.
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

/** Ranks a language: `C` first, then English, which stands in for untranslated texts; `undefined` for translations. */
function languageRank(language: string): number | undefined {
  if (/^C(?:\.|$)/.test(language)) return 1;
  if (/^en$/i.test(language)) return 2;
  return /^en[_-]/i.test(language) ? 3 : undefined;
}

/** Values in several languages; those of the lowest rank count. */
class Ranked<T> {
  readonly #byRank = new Map<number, T[]>();

  add(rank: number, value: T, limit: number): void {
    const values = this.#byRank.get(rank) ?? [];
    if (values.length < limit) values.push(value);
    this.#byRank.set(rank, values);
  }

  /** The lowest rank that has values. */
  get rank(): number {
    return Math.min(...this.#byRank.keys());
  }

  /** Returns the values of one rank. */
  of(rank: number): readonly T[] {
    return this.#byRank.get(rank) ?? [];
  }

  best(): readonly T[] {
    return this.of(this.rank);
  }
}

/** One component while it is read. */
class Component {
  readonly type: string;
  homepage = '';
  readonly single = new Map<string, { readonly rank: number; readonly text: string }>();
  readonly keywords = new Ranked<string>();
  readonly blocks = new Ranked<Block>();
  readonly releases: (Omit<Release, 'notes'> & { readonly notes: Ranked<Block> })[] = [];

  constructor(type: string) {
    this.type = type;
  }

  field(path: string): string {
    return this.single.get(path)?.text ?? '';
  }

  appdata(): Appdata {
    return {
      ...NO_APPDATA,
      name: this.field('name'),
      summary: this.field('summary'),
      developer: this.field('developer/name') || this.field('developer_name'),
      license: this.field('project_license'),
      homepage: this.homepage,
      type: this.type,
      keywords: this.keywords.best(),
      description: this.blocks.best(),
      releases: this.releases.map((release) => ({ ...release, notes: release.notes.best() })),
    };
  }
}

/** A description while it is read. */
interface Description {
  readonly depth: number;
  readonly blocks: Ranked<Block>;
}

/** Reads a document tag by tag. A path is the names of the open elements from the component on. */
class AppdataReader {
  readonly #id: string | undefined;
  readonly #passedOver: readonly string[];
  readonly #path: string[] = [];
  /** Language ranks of the open elements. */
  readonly #ranks: number[] = [];
  #reading = true;
  /** The component of the app, or else the first one. */
  #chosen: Component | undefined;
  #current: Component | undefined;
  /** Depth of the current component. */
  #depth = 0;
  /** Open elements within one that is skipped, including itself. */
  #passing = 0;
  #text = '';
  /** Set while the open element is the URL of the homepage. */
  #isHomepage = false;
  #description: Description | undefined;
  #list: Ranked<readonly Span[]> | undefined;
  /** Text of the open paragraph or list entry. */
  #running = new RunningText(MAX_TEXT);

  constructor({ id, passedOver = [] }: AppdataOptions) {
    this.#id = id;
    this.#passedOver = passedOver;
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
    if (this.#path.length >= MAX_DEPTH) this.stop();
    if (!this.#reading) return;
    const language = attributes['xml:lang'];
    const rank = language === undefined ? (this.#ranks.at(-1) ?? 0) : languageRank(textOf(language));
    this.#path.push(name);
    this.#ranks.push(rank ?? 0);
    if (this.#passing > 0 || rank === undefined || this.#passedOver.includes(name)) this.#passing++;
    else if (this.#current === undefined) this.#openOutside(name, attributes);
    else if (this.#description !== undefined) this.#openBlock(name);
    else this.#openField(this.#current, attributes);
  }

  close(): void {
    if (!this.#reading) return;
    const name = this.#path.pop() ?? '';
    const rank = this.#ranks.pop() ?? 0;
    if (this.#passing > 0) this.#passing--;
    else if (this.#current === undefined) return;
    else if (this.#path.length < this.#depth) this.#closeComponent(this.#current);
    else if (this.#description !== undefined) this.#closeBlock(this.#description, name, rank);
    else this.#closeField(this.#current, [...this.#path.slice(this.#depth), name].join('/'), rank);
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

  #choose(component: Component): void {
    if (this.#chosen === undefined || this.#isOfApp(component)) this.#chosen = component;
  }

  #isOfApp(component: Component): boolean {
    return this.#id === undefined || isOfApp(component.field('id'), this.#id);
  }

  #openOutside(name: string, attributes: (Tag | QualifiedTag)['attributes']): void {
    if (name !== 'component' && name !== 'application') return;
    this.#depth = this.#path.length;
    this.#current = new Component(textOf(attributes['type']).slice(0, MAX_NAME));
  }

  #closeComponent(component: Component): void {
    if (this.#isOfApp(component)) this.stop();
    else this.#choose(component);
    this.#current = undefined;
  }

  #openField(component: Component, attributes: (Tag | QualifiedTag)['attributes']): void {
    this.#text = '';
    const path = this.#path.slice(this.#depth).join('/');
    const { releases } = component;
    if (path === 'description') this.#description = { depth: this.#path.length, blocks: component.blocks };
    if (path === 'releases/release' && releases.length <= MAX_RELEASES) {
      releases.push({
        version: textOf(attributes['version']).slice(0, MAX_NAME),
        date: dayOf(textOf(attributes['date']), textOf(attributes['timestamp'])),
        notes: new Ranked(),
      });
    }
    if (path === 'releases/release/description')
      this.#description = { depth: this.#path.length, blocks: releases.at(-1)?.notes ?? new Ranked() };
    if (this.#description !== undefined) this.#running = new RunningText(MAX_TEXT);
    this.#isHomepage = path === 'url' && textOf(attributes['type']) === 'homepage';
  }

  #closeField(component: Component, path: string, rank: number): void {
    const { releases, keywords, single } = component;
    if (path === 'releases/release' && releases.length > MAX_RELEASES) releases.pop();
    const text = collapsed(this.#text);
    this.#text = '';
    if (text === '') return;
    if (path === 'keywords/keyword') keywords.add(rank, text.slice(0, MAX_NAME), MAX_KEYWORDS);
    else if (path === 'url') {
      if (this.#isHomepage) component.homepage ||= httpUrl(text);
    } else if (SINGLE.has(path) && rank < (single.get(path)?.rank ?? Number.POSITIVE_INFINITY))
      single.set(path, { rank, text: text.slice(0, path === 'summary' ? MAX_TEXT : MAX_NAME) });
  }

  #openBlock(name: string): void {
    if (name === 'em' || name === 'code') this.#running.open(name);
    if (name === 'ul' || name === 'ol') this.#list = new Ranked();
    if (BLOCKS.has(name)) this.#running = new RunningText(MAX_TEXT);
  }

  #closeBlock({ depth, blocks }: Description, name: string, rank: number): void {
    if (name === 'em' || name === 'code') this.#running.close();
    const text = this.#running.spans();
    if (name === 'p' && text.length > 0) blocks.add(rank, { kind: 'paragraph', text }, MAX_BLOCKS);
    if (name === 'li' && text.length > 0) this.#list?.add(rank, text, MAX_BLOCKS);
    if ((name === 'ul' || name === 'ol') && this.#list !== undefined) {
      const entries = this.#list.best();
      if (entries.length > 0)
        blocks.add(Math.max(rank, this.#list.rank), { kind: name === 'ul' ? 'list' : 'numbered', entries }, MAX_BLOCKS);
      this.#list = undefined;
    }
    if (this.#path.length < depth) {
      // Some descriptions are plain text without markup.
      if (blocks.of(rank).length === 0 && text.length > 0) blocks.add(rank, { kind: 'paragraph', text }, MAX_BLOCKS);
      this.#description = undefined;
      this.#list = undefined;
    }
    if (BLOCKS.has(name)) this.#running = new RunningText(MAX_TEXT);
    this.#text = '';
  }
}

/** Elements of a description that begin a new text. */
const BLOCKS: ReadonlySet<string> = new Set(['p', 'li', 'ul', 'ol']);
/** Elements that occur once, by their path in the component. */
const SINGLE: ReadonlySet<string> = new Set([
  'id',
  'name',
  'summary',
  'developer/name',
  'developer_name',
  'project_license',
]);

function textOf(attribute: (Tag | QualifiedTag)['attributes'][string] | undefined): string {
  if (attribute === undefined) return '';
  return typeof attribute === 'string' ? attribute : attribute.value;
}

function collapsed(text: string): string {
  return text.slice(0, MAX_TEXT).replace(/\s+/g, ' ').trim();
}

function httpUrl(text: string): string {
  return text.length <= MAX_TEXT && /^https?:\/\//i.test(text) && URL.canParse(text) ? text : '';
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
