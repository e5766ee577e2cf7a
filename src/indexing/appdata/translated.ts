/** Values of the app data in several languages. */

/** Longest language tag, in characters. */
const MAX_LANGUAGE = 35;
/** Scripts by the modifier of a locale. */
const SCRIPTS: Readonly<Record<string, string>> = { latin: 'Latn', cyrillic: 'Cyrl', arabic: 'Arab' };

/** Language of what has no `xml:lang`. */
export const UNTRANSLATED = '';

/**
 * Reads an `xml:lang`, which may be a locale such as `pt_BR` or `sr@latin`. Returns a BCP 47 tag, or `C`; `undefined` if
 * it is no language.
 */
export function languageOf(text: string): string | undefined {
  if (/^C(?:\.|$)/.test(text)) return 'C';
  const [, locale = '', modifier] = /^([^.@]*)(?:\.[^@]*)?(?:@(.*))?$/s.exec(text.slice(0, MAX_LANGUAGE)) ?? [];
  const [language = '', ...others] = locale.split(/[_-]/);
  const script = modifier === undefined ? undefined : SCRIPTS[modifier];
  const variant = script === undefined ? modifier : undefined;
  try {
    const [tag] = Intl.getCanonicalLocales(
      [language, script, ...others, variant].filter((part) => part !== undefined).join('-'),
    );
    // Private tags are of tests.
    return tag?.startsWith('x-') === true ? undefined : tag;
  } catch {
    return undefined;
  }
}

/**
 * Ranks the languages that stand for the untranslated text: the lowest is the best. Returns `undefined` for all others.
 */
export function baseRank(language: string): number | undefined {
  if (language === UNTRANSLATED) return 0;
  if (language === 'C') return 1;
  if (language === 'en') return 2;
  return language.startsWith('en-') ? 3 : undefined;
}

/** Says whether a language is a translation: neither untranslated nor plain English. */
export function isTranslation(language: string): boolean {
  return !(language === UNTRANSLATED || language === 'C' || language === 'en');
}

/** One value in several languages. */
export class Translated<T> {
  readonly #values = new Map<string, T>();

  /** Adds a value, unless there is one in this language. */
  add(language: string, value: T): void {
    if (!this.#values.has(language)) this.#values.set(language, value);
  }

  has(language: string): boolean {
    return this.#values.has(language);
  }

  /** Returns the value in one language. */
  in(language: string): T | undefined {
    return this.#values.get(language);
  }

  /** Returns the value in one language, which is `made` if there is none yet. */
  getOrAdd(language: string, made: () => T): T {
    const value = this.#values.get(language) ?? made();
    this.#values.set(language, value);
    return value;
  }

  /** The untranslated value, or the one that stands for it. */
  get base(): T | undefined {
    let [best, rank] = [undefined as T | undefined, Number.POSITIVE_INFINITY];
    for (const [language, value] of this.#values) {
      const its = baseRank(language) ?? Number.POSITIVE_INFINITY;
      if (its < rank) [best, rank] = [value, its];
    }
    return best;
  }

  get languages(): Iterable<string> {
    return this.#values.keys();
  }
}

/** Values in their order, each followed by its translations. */
export class TranslatedSequence<T> {
  readonly #limit: number;
  readonly #places: { readonly kind: string; readonly values: Translated<T> }[] = [];

  /** @param limit the most values; the rest is dropped */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get isEmpty(): boolean {
    return this.#places.length === 0;
  }

  /**
   * Adds one value. It translates the last one if that is of the same kind and not in any of these languages.
   * @param values by language
   */
  add(kind: string, values: ReadonlyMap<string, T>): void {
    let place = this.#places.at(-1);
    const before = place?.values;
    if (place === undefined || place.kind !== kind || values.keys().some((language) => before?.has(language))) {
      if (this.#places.length >= this.#limit) return;
      place = { kind, values: new Translated() };
      this.#places.push(place);
    }
    for (const [language, value] of values) place.values.add(language, value);
  }

  /** The untranslated values. */
  get base(): readonly T[] {
    return this.#places.flatMap(({ values: { base } }) => (base === undefined ? [] : [base]));
  }

  /** Returns the values in one language; untranslated ones where there is no translation. */
  in(language: string): readonly T[] {
    return this.#places.flatMap(({ values }) => {
      const value = values.in(language) ?? values.base;
      return value === undefined ? [] : [value];
    });
  }

  /** Says whether any of the values is in this language. */
  has(language: string): boolean {
    return this.#places.some(({ values }) => values.has(language));
  }

  get languages(): ReadonlySet<string> {
    return new Set(this.#places.flatMap(({ values }) => [...values.languages]));
  }
}
