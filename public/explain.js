/** Asks why the images of a repository are in the indexes, or are not. */
import { requestExplanation } from './api.js';
import { h } from './dom.js';

/** @typedef {import('./api.js').Explanation} Explanation */

/**
 * Returns a form with its answers.
 * @param {string} token the administrator's
 * @param {(error: unknown) => string} refused called if the request fails; returns what to say
 */
export function explainForm(token, refused) {
  const input = h('input', {
    id: 'reference',
    name: 'reference',
    required: true,
    placeholder: 'apps/hello:latest',
    autocomplete: 'off',
    spellcheck: 'false',
  });
  const answer = h('div', { role: 'status' });
  const ask = async (/** @type {Event} */ event) => {
    event.preventDefault();
    answer.replaceChildren(h('p', { class: 'hint' }, 'Looking …'));
    try {
      answer.replaceChildren(...indexesOf(await requestExplanation(token, input.value.trim())));
    } catch (error) {
      answer.replaceChildren(h('p', { class: 'danger' }, refused(error)));
    }
  };
  return h(
    'form',
    { class: 'token explain', onsubmit: (event) => void ask(event) },
    h('label', { for: 'reference' }, 'Why is it in an index, or not? Repository, or repository:tag'),
    input,
    h('button', { type: 'submit' }, 'Explain'),
    answer,
  );
}

/** @param {Explanation} explanation */
function indexesOf({ indexes }) {
  return indexes.map(({ index, shown, reasons, images }) =>
    h(
      'section',
      {},
      h('h3', {}, index, ' ', badge(shown)),
      list(reasons),
      images.map((image) =>
        h(
          'div',
          { class: 'image' },
          h('p', {}, h('code', {}, image.ref || image.digest), ' ', badge(image.shown)),
          h('p', { class: 'hint' }, [image.architecture, ...image.tags].filter((word) => word !== '').join(', ')),
          list(image.reasons),
        ),
      ),
    ),
  );
}

/** @param {boolean} shown */
function badge(shown) {
  return h('span', { class: shown ? 'badge good' : 'badge' }, shown ? 'Shown' : 'Not shown');
}

/** @param {readonly string[]} reasons */
function list(reasons) {
  return (
    reasons.length > 0 &&
    h(
      'ul',
      {},
      reasons.map((reason) => h('li', {}, reason)),
    )
  );
}
