/** Collects distinct warnings, and limits how many are shown. */
import { amount } from '../system/amount.ts';

/** Warnings that are shown; the others are only counted. */
const SHOWN = 20;

/** Warnings of one index. */
export class Warnings {
  readonly #messages = new Set<string>();

  add(message: string): void {
    this.#messages.add(message);
  }

  /** Returns the first warnings, and the number of the others. */
  toArray(): readonly string[] {
    const messages = [...this.#messages];
    if (messages.length <= SHOWN) return messages;
    return [...messages.slice(0, SHOWN), `and ${amount(messages.length - SHOWN, 'more warning')}`];
  }
}
