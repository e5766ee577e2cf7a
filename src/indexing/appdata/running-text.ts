/** Collects a text of a description, keeping what is emphasized or code. */
import type { Span } from './appdata.ts';

type Kind = 'plain' | Exclude<Span, string>['kind'];

/** A text that grows span by span. */
export class RunningText {
  readonly #spans: { readonly kind: Kind; text: string }[] = [];
  readonly #open: Kind[] = [];
  /** Characters that may still be added. */
  #room: number;

  /** @param limit the most characters; the rest is dropped */
  constructor(limit: number) {
    this.#room = limit;
  }

  /** Begins an emphasized or code span. */
  open(kind: Exclude<Kind, 'plain'>): void {
    this.#open.push(kind);
  }

  /** Ends the innermost span. */
  close(): void {
    this.#open.pop();
  }

  /** Adds a text to the innermost span. */
  add(text: string): void {
    const kind = this.#open.at(-1) ?? 'plain';
    const taken = text.slice(0, this.#room);
    this.#room -= taken.length;
    const last = this.#spans.at(-1);
    if (last?.kind === kind) last.text += taken;
    else if (taken !== '') this.#spans.push({ kind, text: taken });
  }

  /** Returns the spans with white space collapsed and trimmed; empty if there is nothing else. */
  spans(): readonly Span[] {
    const spans: { readonly kind: Kind; text: string }[] = [];
    for (const { kind, text } of this.#spans) {
      const collapsed = text.replace(/\s+/g, ' ');
      const after = spans.at(-1)?.text ?? ' ';
      const own = after.endsWith(' ') ? collapsed.replace(/^ /, '') : collapsed;
      if (own !== '') spans.push({ kind, text: own });
    }
    const last = spans.at(-1);
    if (last) last.text = last.text.trimEnd();
    return spans.filter(({ text }) => text !== '').map(({ kind, text }) => (kind === 'plain' ? text : { kind, text }));
  }
}
