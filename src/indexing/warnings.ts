/** What the administrator should see of a rebuild, but not all of it where it is the same for thousands of images. */
import { amount } from '../system/amount.ts';

const SHOWN = 20;

export class Warnings {
  readonly #messages = new Set<string>();

  add(message: string): void {
    this.#messages.add(message);
  }

  /** The first ones, and how many there are besides. */
  toArray(): readonly string[] {
    const messages = [...this.#messages];
    if (messages.length <= SHOWN) return messages;
    return [...messages.slice(0, SHOWN), `and ${amount(messages.length - SHOWN, 'more warning')}`];
  }
}
