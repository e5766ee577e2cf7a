/** Steps through the screenshots of an app. */

const strip = /** @type {HTMLElement} */ (document.querySelector('.screenshots ul'));
const [previous, next] = /** @type {HTMLButtonElement[]} */ ([...document.querySelectorAll('.steps button')]);

/** Scrolls to the picture before or after the one that is first in view. @param {-1 | 1} by */
function step(by) {
  const start = strip.getBoundingClientRect();
  const places = Array.from(strip.children, (picture) => {
    const box = picture.getBoundingClientRect();
    return isRightToLeft() ? start.right - box.right : box.left - start.left;
  });
  const current = places.findIndex((place) => place > -2);
  const wanted = strip.children[Math.max(0, (current === -1 ? places.length - 1 : current) + by)];
  wanted?.scrollIntoView({ block: 'nearest', inline: 'start' });
}

function isRightToLeft() {
  return getComputedStyle(strip).direction === 'rtl';
}

function update() {
  const scrolled = Math.abs(strip.scrollLeft);
  if (previous !== undefined) previous.disabled = scrolled < 2;
  if (next !== undefined) next.disabled = scrolled > strip.scrollWidth - strip.clientWidth - 2;
}

previous?.addEventListener('click', () => step(-1));
next?.addEventListener('click', () => step(1));
strip.addEventListener('keydown', (event) => {
  if (event.target !== strip || (event.key !== 'ArrowLeft' && event.key !== 'ArrowRight')) return;
  event.preventDefault();
  step((event.key === 'ArrowRight') === isRightToLeft() ? -1 : 1);
});
strip.addEventListener('scroll', update, { passive: true });
new ResizeObserver(update).observe(strip);
