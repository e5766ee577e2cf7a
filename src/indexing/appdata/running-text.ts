/** A text of a description as it is read: what is emphasized or code in it stays so, whatever is within that. */
import type { Span } from './appdata.ts';

type Kind = 'plain' | Exclude<Span, string>['kind'];

export class RunningText {
  readonly #spans: { readonly kind: Kind; text: string }[] = [];
  readonly #open: Kind[] = [];
  /** How many characters are still taken. */
  #room: number;

  /** @param limit characters that are taken of it */
  constructor(limit: number) {
    this.#room = limit;
  }

  open(kind: Exclude<Kind, 'plain'>): void {
    this.#open.push(kind);
  }

  close(): void {
    this.#open.pop();
  }

  add(text: string): void {
    const kind = this.#open.at(-1) ?? 'plain';
    const taken = text.slice(0, this.#room);
    this.#room -= taken.length;
    const last = this.#spans.at(-1);
    if (last?.kind === kind) last.text += taken;
    else if (taken !== '') this.#spans.push({ kind, text: taken });
  }

  /** With one space wherever there is any, and none at the ends; empty if there is nothing else. */
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
