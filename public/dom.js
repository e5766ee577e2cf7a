/** Makes elements. Whatever an app says about itself becomes text or the value of a harmless attribute, never markup. */

/** @typedef {Node | string | number | false | null | undefined} Child */
/** @typedef {Record<string, string | number | boolean | undefined | ((event: Event) => void)>} Attributes */

const SVG = 'http://www.w3.org/2000/svg';

/**
 * An element; attributes that begin with `on` are listeners, those that are false or undefined are left out.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Attributes} [attributes]
 * @param {...(Child | readonly Child[])} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/**
 * The same for drawings.
 * @template {keyof SVGElementTagNameMap} T
 * @param {T} tag
 * @param {Attributes} [attributes]
 * @param {...(Child | readonly Child[])} children
 * @returns {SVGElementTagNameMap[T]}
 */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/**
 * @template {Element} E
 * @param {E} element
 * @param {Attributes} attributes
 * @param {readonly (Child | readonly Child[])[]} children
 */
function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== false) element.setAttribute(name, value === true ? '' : String(value));
  }
  for (const child of children.flat()) {
    if (child === undefined || child === null || child === false || child === '') continue;
    element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

/**
 * A command, an address or the like, so that its line breaks where a reader would break it: never within an option, and after a slash rather than within a word.
 * @param {string} text
 * @returns {Child[]}
 */
export function breakable(text) {
  return text.split(/( )/).flatMap((word) => (word.startsWith('-') ? [h('span', { class: 'option' }, word)] : word.split(/(?<=[^/]\/)(?!\/)|(?=\.flatpak)/).flatMap((part, place) => (place === 0 ? [part] : [h('wbr'), part]))));
}

/**
 * The element with this id.
 * @param {string} id
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`The page has no element “${id}”.`);
  return element;
}

/**
 * Tells those who cannot see it.
 * @param {string} text
 */
export function announce(text) {
  byId('live').textContent = text;
}
