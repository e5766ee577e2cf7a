/** HTML from templates, in which every value is escaped. */

/** A text that is HTML already. */
export class Html {
  readonly #text: string;

  /** @param text is not escaped: only for what {@link html} cannot write */
  constructor(text: string) {
    this.#text = text;
  }

  toString(): string {
    return this.#text;
  }
}

/** A value of a template; `false`, `null` and `undefined` are left out. */
export type Value = Html | string | number | false | null | undefined | readonly Value[];

/** Texts of templates without their indentation. */
const dense = new WeakMap<TemplateStringsArray, readonly string[]>();

/** Writes HTML. Attributes must be in double quotes; values are escaped for them and for elements. */
export function html(texts: TemplateStringsArray, ...values: readonly Value[]): Html {
  let raw = dense.get(texts);
  if (raw === undefined) {
    raw = texts.map((text) => text.replace(/\s*\n\s*/g, '\n'));
    dense.set(texts, raw);
  }
  return new Html(String.raw({ raw }, ...values.map(written)));
}

/** Writes data as a script that is never run, such as JSON-LD. */
export function dataScript(type: string, data: unknown): Html {
  return html`<script type="${type}">
    ${new Html(JSON.stringify(data).replaceAll('<', '\\u003c'))}
  </script>`;
}

function written(value: Value): string {
  if (typeof value === 'string') return escapeText(value);
  if (Array.isArray(value)) return value.map(written).join('');
  return value === false || value === null || value === undefined ? '' : String(value);
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Escapes a text for an element or an attribute of HTML or XML. */
export function escapeText(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? '');
}
