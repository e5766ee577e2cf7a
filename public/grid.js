/** A grid of cards of equal height. Only those near the viewport are in the document, so that long lists are fast. */
import { h } from './dom.js';

/** Rows beyond the viewport, at either end. */
const BEYOND = 3;
/** Scroll speed from which icons are not loaded, in pixels per second. */
const FAST = 4_000;
/** Time after fast scrolling until icons are loaded, in milliseconds. */
const CALM = 100;

/** Shows cards for a list of entries. @template T */
export class Grid {
  element;
  /** @type {(entry: T) => HTMLLIElement} */
  #card;
  /** @type {readonly T[]} */
  #entries = [];
  /** Entries that are in the document; `last` is exclusive. */
  #range = { first: 0, last: 0 };
  /** The last measurement: columns, and pixels from the top of one row to that of the next. */
  #measure = { columns: 1, row: 140, top: 0 };
  #waiting = false;
  /** Time and scroll position at the last move. */
  #looked = { at: 0, place: 0 };
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #calming;
  /** @type {(card: HTMLLIElement) => void} */
  #complete;

  /**
   * @param {string} label
   * @param {(entry: T) => HTMLLIElement} card returns the same element for the same entry
   * @param {(card: HTMLLIElement) => void} complete loads the icon of a card, which is left out during fast scrolling
   */
  constructor(label, card, complete) {
    this.#card = card;
    this.#complete = complete;
    // Focusable, to take the focus from a removed card.
    this.element = h('ul', { class: 'grid', 'aria-label': label, tabindex: -1 });
    addEventListener('scroll', () => this.#soon(), { passive: true });
    new ResizeObserver(() => this.#remeasure()).observe(this.element);
  }

  /** Replaces the entries. @param {readonly T[]} entries */
  show(entries) {
    this.#entries = entries;
    this.#range = this.#wanted();
    const cards = this.#cards(this.#range.first, this.#range.last);
    this.element.replaceChildren(...cards);
    this.#keepPlace();
    this.#completeAll();
  }

  #soon() {
    if (this.#waiting || !this.element.isConnected) return;
    this.#waiting = true;
    requestAnimationFrame(() => {
      this.#waiting = false;
      this.#move();
    });
  }

  /** Adds and removes cards at the ends; the others stay untouched. */
  #move() {
    const [{ at, place }, now, before] = [this.#looked, performance.now(), this.#range];
    this.#looked = { at: now, place: scrollY };
    const fast = (Math.abs(scrollY - place) / (now - at)) * 1000 > FAST;
    const { first, last } = (this.#range = this.#wanted());
    if (first === before.first && last === before.last) return;
    if (first >= before.last || last <= before.first) {
      this.#leave(() => this.element.replaceChildren(...this.#cards(first, last)));
    } else {
      this.#leave(() => {
        for (let index = before.first; index < first; index++) this.element.firstElementChild?.remove();
        for (let index = last; index < before.last; index++) this.element.lastElementChild?.remove();
      });
      this.element.prepend(...this.#cards(first, before.first));
      this.element.append(...this.#cards(before.last, last));
    }
    this.#keepPlace();
    clearTimeout(this.#calming);
    if (fast) this.#calming = setTimeout(() => this.#completeAll(), CALM);
    else this.#completeAll();
  }

  #completeAll() {
    for (const card of this.element.children) this.#complete(/** @type {HTMLLIElement} */ (card));
  }

  /**
   * Removes cards. If one of them had the focus, the grid gets it.
   * @param {() => void} change
   */
  #leave(change) {
    const inside = this.element.contains(document.activeElement);
    change();
    if (inside && !this.element.contains(document.activeElement)) this.element.focus({ preventScroll: true });
  }

  /** @param {number} first @param {number} last */
  #cards(first, last) {
    return this.#entries.slice(first, Math.max(first, last)).map((entry, index) => {
      const card = this.#card(entry);
      card.setAttribute('aria-setsize', String(this.#entries.length));
      card.setAttribute('aria-posinset', String(first + index + 1));
      return card;
    });
  }

  #wanted() {
    const { columns, row, top } = this.#measure;
    const rows = Math.ceil(this.#entries.length / columns);
    const from = Math.min(rows, Math.max(0, Math.floor((scrollY - top) / row) - BEYOND));
    const to = Math.max(from, Math.ceil((scrollY + innerHeight - top) / row) + BEYOND);
    return { first: from * columns, last: Math.min(this.#entries.length, to * columns) };
  }

  /** Reserves the space of rows that are not in the document. */
  #keepPlace() {
    const { columns, row } = this.#measure;
    const { first, last } = this.#range;
    const after = Math.ceil(this.#entries.length / columns) - Math.ceil(last / columns);
    this.element.style.paddingTop = `${(first / columns) * row}px`;
    this.element.style.paddingBottom = `${after * row}px`;
  }

  #remeasure() {
    const card = this.element.firstElementChild;
    if (card === null || !this.element.isConnected) return;
    const { gridTemplateColumns, rowGap } = getComputedStyle(this.element);
    const columns = gridTemplateColumns.split(' ').length;
    const row = card.getBoundingClientRect().height + Number.parseFloat(rowGap);
    const top = this.element.getBoundingClientRect().top + scrollY;
    const { columns: columnsBefore, row: rowBefore } = this.#measure;
    this.#measure = { columns, row, top };
    if (columns !== columnsBefore || row !== rowBefore) this.show(this.#entries);
    else this.#move();
  }
}
