/** Details of one app, and three ways to install it. */
import { base, fetchApp, known, Refusal } from './api.js';
import { command } from './copy.js';
import { breakable, h, table } from './dom.js';
import { day, number, size } from './format.js';
import { appIcon } from './icon.js';
import { ROOT } from './root.js';
import { addressOf } from './state.js';

/** @typedef {import('./api.js').App} App */
/** @typedef {App['images'][number]} AppImage */
/** @typedef {App['description'][number]} Block */
/** @typedef {Extract<Block, { kind: 'paragraph' }>['text'][number]} Span */
/** @typedef {App['permissions'][number]} Permission */

/** Time until a note says that loading is slow, in milliseconds. */
const SLOW = 700;
const KINDS = { app: 'App', runtime: 'Runtime', extension: 'Extension' };
const GROUPS = /** @type {const} */ ({
  network: 'Network',
  files: 'Files',
  devices: 'Devices',
  sockets: 'Display, sound and more',
  bus: 'Other programs',
  features: 'Features',
});

/** Shows one app at a time. */
export class AppView {
  #heading = h('h1', { tabindex: -1 });
  element = h('article', { class: 'app' });
  /** Incremented with each app, to ignore late answers for earlier ones. */
  #showing = 0;
  #find;

  /**
   * @param {(id: string, index: string) => import('./api.js').ListedApp | undefined} find returns an app of the list,
   * from any index if `index` is empty
   */
  constructor(find) {
    this.#find = find;
  }

  /** The heading, which gets the focus. */
  get heading() {
    return this.#heading;
  }

  /**
   * Loads and shows an app.
   * @param {string} id
   * @param {string} wanted name of an index; if empty, the first that has the app
   * @param {import('./api.js').ListedApp | undefined} listed its entry in the list
   * @param {string} back address of the list
   */
  async show(id, wanted, listed, back) {
    const showing = ++this.#showing;
    const index = wanted || listed?.index || (known().indexes[0]?.name ?? '');
    this.#heading = h('h1', { tabindex: -1 }, listed?.name ?? id);
    const backLink = h('p', { class: 'back' }, h('a', { href: back }, '← All apps'));
    const wait = h('p', { class: 'wait' });
    this.element.replaceChildren(
      backLink,
      h(
        'header',
        { class: 'hero' },
        appIcon(listed ?? { name: id, icon: '' }, index, 128),
        h('div', {}, this.#heading, h('p', { class: 'summary' }, listed?.summary ?? '')),
      ),
      wait,
    );
    const slow = setTimeout(() => (wait.textContent = 'Still loading. The server is slow to answer.'), SLOW);
    try {
      const app = await fetchApp(id, index);
      if (showing === this.#showing) this.#fill(app, index, backLink);
    } catch (error) {
      if (showing !== this.#showing) return;
      const gone = error instanceof Refusal && error.status === 404;
      wait.replaceWith(
        h(
          'div',
          { class: 'notice' },
          h(
            'p',
            {},
            gone
              ? `There is no such app in the index “${index}”. It may have been removed.`
              : error instanceof Error
                ? error.message
                : String(error),
          ),
          gone
            ? h('a', { href: back }, 'See all apps')
            : h('button', { type: 'button', onclick: () => void this.show(id, wanted, listed, back) }, 'Try again'),
        ),
      );
    } finally {
      clearTimeout(slow);
    }
  }

  /**
   * @param {App} app
   * @param {string} index
   * @param {HTMLElement} back
   */
  #fill(app, index, back) {
    this.#heading.textContent = app.name;
    const focused = document.activeElement === this.#heading;
    const [best] = app.images;
    const title = known().indexes.find(({ name }) => name === index)?.title ?? index;
    this.element.replaceChildren(
      back,
      h(
        'header',
        { class: 'hero' },
        appIcon(app, index, 128),
        h(
          'div',
          {},
          this.#heading,
          h('p', { class: 'summary' }, app.summary),
          h(
            'p',
            { class: 'by' },
            app.kind !== 'app' && h('span', { class: 'badge' }, KINDS[app.kind]),
            app.developer && `by ${app.developer}`,
          ),
        ),
      ),
      app.endOfLife !== '' || app.replacedBy !== '' ? endOfLife(app, index, this.#find) : '',
      install(app, index, title),
      h(
        'div',
        { class: 'columns' },
        h(
          'div',
          {},
          app.description.length > 0 && section('description', 'About', blocks(app.description)),
          section('permissions', 'Permissions', permissions(app.permissions)),
          app.releases.length > 0 &&
            section('versions', 'Versions', h('ol', { class: 'releases' }, app.releases.map(release))),
        ),
        section('details', 'Facts', facts(app, best, title)),
      ),
      section('images', 'Images', images(app, index)),
    );
    // Moving an element in the document takes its focus.
    if (focused) this.#heading.focus({ preventScroll: true });
  }
}

/**
 * @param {string} id
 * @param {string} title
 * @param {...(Node | readonly Node[])} children
 */
function section(id, title, ...children) {
  return h('section', { class: id, 'aria-labelledby': `h-${id}` }, h('h2', { id: `h-${id}` }, title), ...children);
}

/**
 * @param {App} app
 * @param {string} index
 * @param {(id: string, index: string) => import('./api.js').ListedApp | undefined} find
 */
function endOfLife({ endOfLife: reason, replacedBy }, index, find) {
  // A ref: `app/ID/ARCHITECTURE/BRANCH`.
  const id = replacedBy.replace(/^(?:app|runtime)\//, '').replace(/\/.*/s, '');
  const listed = find(id, index) ?? find(id, '');
  const link = h('a', { href: addressOf({ app: id, index: listed?.index ?? index }) }, listed?.name ?? id);
  return h(
    'div',
    { class: 'notice warning', role: 'note' },
    h('p', {}, h('strong', {}, 'No longer maintained. '), reason || 'There will be no more updates.'),
    id !== '' && h('p', {}, 'It is replaced by ', link, '.'),
  );
}

/**
 * @param {App} app
 * @param {string} index
 * @param {string} title
 */
function install({ id, name }, index, title) {
  const file = `${encodeURIComponent(index)}/${encodeURIComponent(id)}.flatpakref`;
  const remote = known().indexes.find(({ name: other }) => other === index)?.remoteName ?? index;
  const repo = `${encodeURIComponent(index)}.flatpakrepo`;
  return section(
    'install',
    'Install',
    h(
      'div',
      { class: 'ways' },
      h(
        'div',
        {},
        h('h3', {}, 'With one click'),
        h('p', {}, h('a', { class: 'button', href: ROOT + file }, `Install ${name}`)),
        h('p', { class: 'hint' }, 'Your software centre opens the file. On most systems that is all.'),
      ),
      h(
        'div',
        {},
        h('h3', {}, 'In a terminal'),
        command(`flatpak install --user ${base()}/${file}`, `the command that installs ${name}`),
      ),
      h(
        'div',
        {},
        h('h3', {}, `All of ${title}`),
        command(
          `flatpak remote-add --user --if-not-exists ${remote} ${base()}/${repo}`,
          `the command that adds ${title}`,
        ),
        h(
          'p',
          { class: 'hint' },
          'Or open ',
          h('a', { href: ROOT + repo }, `${index}.flatpakrepo`),
          ' with your software centre.',
        ),
      ),
    ),
  );
}

/** @param {readonly Block[]} description */
function blocks(description) {
  return description.map((block) =>
    block.kind === 'paragraph'
      ? h('p', {}, spans(block.text))
      : h(
          block.kind === 'list' ? 'ul' : 'ol',
          {},
          block.entries.map((entry) => h('li', {}, spans(entry))),
        ),
  );
}

/** @param {readonly Span[]} text */
function spans(text) {
  return text.map((span) => (typeof span === 'string' ? span : h(span.kind, {}, span.text)));
}

/** @param {readonly Permission[]} all */
function permissions(all) {
  if (all.length === 0) return h('p', { class: 'safe' }, 'None: the app stays within its sandbox.');
  const dangerous = all.filter(({ dangerous: isDangerous }) => isDangerous).length;
  const groups = Object.entries(GROUPS).flatMap(([kind, words]) => {
    const own = all.filter((one) => one.kind === kind);
    return own.length === 0 ? [] : [h('dt', {}, words), h('dd', {}, h('ul', {}, own.map(permission)))];
  });
  return h(
    'div',
    {},
    dangerous > 0 &&
      h('p', { class: 'danger' }, `${number(dangerous)} of these permissions can reach beyond the sandbox.`),
    h('dl', {}, groups),
  );
}

/** @param {Permission} permission */
function permission({ text, dangerous }) {
  return h('li', dangerous ? { class: 'danger' } : {}, text, dangerous && h('span', { class: 'badge' }, 'Careful'));
}

/** @param {App['releases'][number]} release */
function release({ version, date, notes }) {
  return h(
    'li',
    {},
    h('h3', {}, version || 'Unnamed version', date !== '' && h('time', { datetime: date }, day(date))),
    notes.length > 0 ? blocks(notes) : h('p', { class: 'hint' }, 'There are no notes for this version.'),
  );
}

/** @param {readonly string[]} values */
function distinct(values) {
  return [...new Set(values)].toSorted().join(', ');
}

/**
 * @param {App} app
 * @param {AppImage | undefined} best
 * @param {string} title
 */
function facts(app, best, title) {
  /** @type {readonly (readonly [name: string, value: string | Node])[]} */
  const all = [
    ['ID', h('code', {}, app.id)],
    ['Installed size', best !== undefined && best.installedSize > 0 ? size(best.installedSize) : ''],
    ['Download', best !== undefined && best.downloadSize > 0 ? size(best.downloadSize) : ''],
    ['Built', best === undefined || best.built === '' ? '' : h('time', { datetime: best.built }, day(best.built))],
    ['Architectures', distinct(app.images.map(({ architecture }) => architecture))],
    ['Tags', distinct(app.images.flatMap(({ tags }) => tags))],
    [app.kind === 'extension' ? 'Extends' : 'Runtime', app.runtime === '' ? '' : h('code', {}, breakable(app.runtime))],
    ['License', app.license],
    ['Homepage', app.homepage === '' ? '' : h('a', { href: app.homepage, rel: 'noopener noreferrer' }, app.homepage)],
    ['Index', title],
  ];
  return h(
    'dl',
    { class: 'facts' },
    all.flatMap(([name, value]) => (value === '' ? [] : [h('div', {}, h('dt', {}, name), h('dd', {}, value))])),
  );
}

/**
 * @param {App} app
 * @param {string} index
 */
function images({ id, name, images: all }, index) {
  const row = (/** @type {AppImage} */ image) => {
    const [tag] = image.tags;
    const parameters = new URLSearchParams({ ...(tag !== undefined && { tag }), arch: image.architecture });
    return h(
      'tr',
      {},
      h('th', { scope: 'row' }, image.tags.join(', ') || 'none'),
      h('td', {}, image.architecture),
      h('td', {}, image.branch),
      h('td', {}, image.built === '' ? '' : h('time', { datetime: image.built }, day(image.built))),
      h('td', {}, image.downloadSize > 0 ? size(image.downloadSize) : ''),
      h('td', {}, h('code', {}, image.repository)),
      h('td', {}, h('code', { class: 'digest', title: image.digest, tabindex: 0 }, image.digest)),
      h(
        'td',
        {},
        h(
          'a',
          {
            href: `${ROOT}${encodeURIComponent(index)}/${encodeURIComponent(id)}.flatpakref?${parameters}`,
            'aria-label': `Install ${name}, ${tag ?? 'no tag'}, ${image.architecture}`,
          },
          'Install',
        ),
      ),
    );
  };
  const columns = ['Tags', 'Architecture', 'Branch', 'Built', 'Download', 'Repository', 'Digest', 'Install'];
  return table({ 'aria-labelledby': 'h-images' }, columns, all.map(row));
}
