/** Reads appdata: XML that anybody may have written, so that nothing in it is expanded, followed or recursed into. */
import type { QualifiedTag, Tag } from 'sax';
import sax from 'sax';
import type { Appdata, Block, Release, Span } from './appdata.ts';
import { NO_APPDATA } from './appdata.ts';
import { RunningText } from './running-text.ts';

/** Characters that are read; real appdata has a few thousand. What comes after is as if it were not there. */
const MAX_LENGTH = 1024 * 1024;
/** Elements within one another; AppStream knows nine. */
const MAX_DEPTH = 32;
/** Small, so that reading ends soon after a reason to stop. */
const CHUNK = 16 * 1024;
const MAX_TEXT = 8_000;
const MAX_NAME = 200;
const MAX_BLOCKS = 200;
const MAX_RELEASES = 20;
const MAX_KEYWORDS = 50;

/**
 * What `xml` tells about its first component. Of a document that is damaged, what stands before the damage; elements
 * that are translations are passed over. Never throws.
 * @param passedOver elements to pass over as well
 */
export function parseAppdata(xml: string, passedOver: readonly string[] = []): Appdata {
  const reader = new AppdataReader(passedOver);
  // Strict: no entity but XML's own five is known, so that none can be made to grow.
  const parser = Object.assign(sax.parser(true, { position: false }), {
    onopentag: (tag: Tag | QualifiedTag) => reader.open(tag),
    onclosetag: () => reader.close(),
    ontext: (text: string) => reader.text(text),
    oncdata: (text: string) => reader.text(text),
    onerror: () => reader.stop(),
  });
  const end = Math.min(xml.length, MAX_LENGTH);
  for (let from = 0; from < end && reader.reading; from += CHUNK) parser.write(xml.slice(from, Math.min(end, from + CHUNK)));
  return reader.appdata();
}

/** Where a description is being read into. */
interface Description {
  readonly depth: number;
  readonly blocks: Block[];
}

/** Takes a document tag by tag. A path is the names of the open elements from the component on. */
class AppdataReader {
  readonly #passedOver: readonly string[];
  readonly #path: string[] = [];
  #reading = true;
  /** How many elements from the outermost one the component is; -1 outside. */
  #component = -1;
  /** Elements within one that is passed over, itself included. */
  #passing = 0;
  #text = '';
  /** The element that is open is the URL of the homepage. */
  #isHomepage = false;
  #homepage = '';
  #description: Description | undefined;
  #list: (readonly Span[])[] | undefined;
  /** Of the paragraph or the entry of a list that is open. */
  #running = new RunningText(MAX_TEXT);
  readonly #single = new Map<string, string>();
  #type = '';
  readonly #keywords: string[] = [];
  readonly #blocks: Block[] = [];
  readonly #releases: (Release & { readonly notes: Block[] })[] = [];

  constructor(passedOver: readonly string[]) {
    this.#passedOver = passedOver;
  }

  get reading(): boolean {
    return this.#reading;
  }

  stop(): void {
    this.#reading = false;
  }

  open({ name, attributes }: Tag | QualifiedTag): void {
    if (this.#path.length >= MAX_DEPTH) this.stop();
    if (!this.#reading) return;
    this.#path.push(name);
    if (this.#passing > 0 || attributes['xml:lang'] !== undefined || this.#passedOver.includes(name)) this.#passing++;
    else if (this.#component === -1) this.#openOutside(name, attributes);
    else if (this.#description !== undefined) this.#openBlock(name);
    else this.#openField(attributes);
  }

  close(): void {
    if (!this.#reading) return;
    const name = this.#path.pop() ?? '';
    if (this.#passing > 0) this.#passing--;
    else if (this.#component === -1) return;
    // The first component has ended.
    else if (this.#path.length < this.#component) this.stop();
    else if (this.#description !== undefined) this.#closeBlock(this.#description, name);
    else this.#closeField([...this.#path.slice(this.#component), name].join('/'));
  }

  text(text: string): void {
    if (!this.#reading || this.#component === -1 || this.#passing > 0) return;
    if (this.#description !== undefined) this.#running.add(text);
    else if (this.#text.length < MAX_TEXT) this.#text += text.slice(0, MAX_TEXT);
  }

  appdata(): Appdata {
    const field = (path: string): string => this.#single.get(path) ?? '';
    return {
      ...NO_APPDATA,
      name: field('name'),
      summary: field('summary'),
      developer: field('developer/name') || field('developer_name'),
      license: field('project_license'),
      homepage: this.#homepage,
      type: this.#type,
      keywords: this.#keywords,
      description: this.#blocks,
      releases: this.#releases,
    };
  }

  #openOutside(name: string, attributes: (Tag | QualifiedTag)['attributes']): void {
    if (name !== 'component' && name !== 'application') return;
    this.#component = this.#path.length;
    this.#type = textOf(attributes['type']).slice(0, MAX_NAME);
  }

  #openField(attributes: (Tag | QualifiedTag)['attributes']): void {
    this.#text = '';
    const path = this.#path.slice(this.#component).join('/');
    if (path === 'description') this.#description = { depth: this.#path.length, blocks: this.#blocks };
    if (path === 'releases/release' && this.#releases.length <= MAX_RELEASES) {
      this.#releases.push({ version: textOf(attributes['version']).slice(0, MAX_NAME), date: dayOf(textOf(attributes['date']), textOf(attributes['timestamp'])), notes: [] });
    }
    if (path === 'releases/release/description') this.#description = { depth: this.#path.length, blocks: this.#releases.at(-1)?.notes ?? [] };
    if (this.#description !== undefined) this.#running = new RunningText(MAX_TEXT);
    this.#isHomepage = path === 'url' && textOf(attributes['type']) === 'homepage';
  }

  #closeField(path: string): void {
    if (path === 'releases/release' && this.#releases.length > MAX_RELEASES) this.#releases.pop();
    const text = collapsed(this.#text);
    this.#text = '';
    if (text === '') return;
    if (path === 'keywords/keyword') {
      if (this.#keywords.length < MAX_KEYWORDS) this.#keywords.push(text.slice(0, MAX_NAME));
    } else if (path === 'url') {
      if (this.#isHomepage) this.#homepage ||= httpUrl(text);
    } else if (SINGLE.has(path) && !this.#single.has(path)) this.#single.set(path, text.slice(0, path === 'summary' ? MAX_TEXT : MAX_NAME));
  }

  #openBlock(name: string): void {
    if (name === 'em' || name === 'code') this.#running.open(name);
    if (name === 'ul' || name === 'ol') this.#list = [];
    if (BLOCKS.has(name)) this.#running = new RunningText(MAX_TEXT);
  }

  #closeBlock({ depth, blocks }: Description, name: string): void {
    const add = (block: Block): void => {
      if (blocks.length < MAX_BLOCKS) blocks.push(block);
    };
    if (name === 'em' || name === 'code') this.#running.close();
    const text = this.#running.spans();
    if (name === 'p' && text.length > 0) add({ kind: 'paragraph', text });
    if (name === 'li' && text.length > 0 && this.#list !== undefined && this.#list.length < MAX_BLOCKS) this.#list.push(text);
    if ((name === 'ul' || name === 'ol') && this.#list !== undefined) {
      if (this.#list.length > 0) add({ kind: name === 'ul' ? 'list' : 'numbered', entries: this.#list });
      this.#list = undefined;
    }
    if (this.#path.length < depth) {
      // Some write their text without any markup.
      if (blocks.length === 0 && text.length > 0) add({ kind: 'paragraph', text });
      this.#description = undefined;
      this.#list = undefined;
    }
    if (BLOCKS.has(name)) this.#running = new RunningText(MAX_TEXT);
    this.#text = '';
  }
}

/** Elements of a description that begin a text of their own. */
const BLOCKS: ReadonlySet<string> = new Set(['p', 'li', 'ul', 'ol']);
/** Elements that count once, by their path in the component. */
const SINGLE: ReadonlySet<string> = new Set(['name', 'summary', 'developer/name', 'developer_name', 'project_license']);

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

/** ISO 8601, a day, from `date` or from seconds since the epoch. */
function dayOf(date: string, timestamp: string): string {
  const [day] = /^\d{4}-\d{2}-\d{2}/.exec(date) ?? [];
  if (day !== undefined) return day;
  return isoDay(Number(timestamp));
}

/** The day of so many seconds since the epoch, in UTC; empty for what is no time. */
export function isoDay(seconds: number): string {
  return seconds > 0 && seconds < 253_402_300_800 ? new Date(seconds * 1000).toISOString().slice(0, 10) : '';
}
