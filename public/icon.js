/** Icons of apps, with a fixed size, so that the layout does not shift when they load. */
import { iconAddress } from './api.js';
import { h } from './dom.js';

/**
 * Returns the icon of an app, or the first letter of its name.
 * @param {{ name: string, icon: string }} app
 * @param {string} index
 * @param {number} size
 * @param {boolean} [later] whether to load it with {@link loadIcon}
 */
export function appIcon(app, index, size, later = false) {
  const address = iconAddress(app.icon, index);
  const letter = h(
    'span',
    { class: 'letter', 'aria-hidden': 'true' },
    String.fromCodePoint(app.name.codePointAt(0) ?? 0x3f).toUpperCase(),
  );
  const frame = h('span', { class: size > 64 ? 'icon large' : 'icon' });
  if (address === undefined) frame.append(letter);
  else
    frame.append(
      h('img', {
        [later ? 'data-src' : 'src']: address,
        alt: '',
        width: size,
        height: size,
        loading: 'lazy',
        decoding: 'async',
        onerror: () => frame.replaceChildren(letter),
      }),
    );
  return frame;
}

/**
 * Loads the icon in an element that was created with `later`.
 * @param {HTMLElement} element
 */
export function loadIcon(element) {
  const image = element.querySelector('img');
  const address = image?.dataset['src'];
  if (image === null || address === undefined) return;
  image.removeAttribute('data-src');
  image.src = address;
}
