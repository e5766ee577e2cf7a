/** State of the service: indexes, running rebuilds, failures and changes. */
import { appAddress, fetchStatus, known, Refusal, requestRebuild } from './api.js';
import { rebuildChart } from './chart.js';
import { announce, byId, h, table } from './dom.js';
import { explainForm } from './explain.js';
import { ago, counted, duration, number, size, time } from './format.js';

/** @typedef {import('./api.js').Status} Status */
/** @typedef {import('./api.js').Rebuild} Rebuild */

/** Key of the token in the session storage, which ends with the tab. */
const TOKEN = 'regindexer-admin-token';
/** Time until a note says that loading is slow, in milliseconds. */
const SLOW = 700;
/** Rebuilds and changes to list. */
const LISTED = 15;
/** Interval at which relative times are updated, in milliseconds. */
const TICK = 10_000;

/** Shows the status, and follows rebuilds. */
class StatusView {
  #connection = h('span', { class: 'connection' });
  #message = h('div', { class: 'notice', hidden: true });
  #running = h('div', { class: 'running' });
  #indexes = h('div', { class: 'indexes' });
  #failures = h('div');
  #changes = h('div');
  #rebuilds = h('div');
  #registries = h('div');
  #bus = h('div');
  #deltas = h('section', { hidden: true, 'aria-labelledby': 'h-deltas' });
  #replicas = h('section', { hidden: true, 'aria-labelledby': 'h-replicas' });
  #admin = h('div');
  element = h(
    'section',
    { class: 'status' },
    h('header', { class: 'bar' }, h('h1', {}, 'Status'), this.#connection),
    this.#message,
    this.#running,
    titled('Indexes', this.#indexes),
    titled('Repositories that could not be read', this.#failures),
    titled('What changed', this.#changes),
    titled('Rebuilds', this.#rebuilds),
    titled('Registries', this.#registries),
    this.#deltas,
    this.#replicas,
    titled('Messages and notifications', this.#bus),
    titled('Administration', this.#admin),
  );
  /** @type {Status | undefined} */
  #status;
  /** Running and queued rebuilds, by id. @type {Map<string, Rebuild>} */
  #live = new Map();
  /**
   * The bars of running rebuilds, by id. @type {Map<string, { update: (rebuild: Rebuild) => void, element: HTMLElement
   * }>}
   */
  #bars = new Map();
  /** @type {EventSource | undefined} */
  #events;

  /** Loads the status, and starts to follow rebuilds. */
  show() {
    this.#fillAdmin();
    void this.#load();
    this.#connect();
    setInterval(() => this.#fill(), TICK);
  }

  async #load() {
    const slow = setTimeout(() => this.#tell('Still loading. The server is slow to answer.'), SLOW);
    const token = sessionStorage.getItem(TOKEN);
    try {
      this.#status = await fetchStatus(token);
      this.#message.hidden = true;
      this.#live = new Map(this.#status.rebuilds.filter(isLive).map((rebuild) => [rebuild.id, rebuild]));
      this.#fill();
    } catch (error) {
      if (token !== null && isRefused(error)) {
        this.#refused(error);
        void this.#load();
      } else this.#tell(error instanceof Error ? error.message : String(error), () => void this.#load());
    } finally {
      clearTimeout(slow);
    }
  }

  /** Follows rebuilds. The browser reconnects by itself, except after an error status. */
  #connect() {
    this.#events?.close();
    const events = new EventSource(`${known().root}api/events`);
    this.#events = events;
    let lost = false;
    events.addEventListener('open', () => {
      this.#say('Live', 'live');
      // Events may have been missed.
      if (lost) void this.#load();
      lost = false;
    });
    events.addEventListener('error', () => {
      lost = true;
      this.#say('Reconnecting …', 'lost');
      if (events.readyState === EventSource.CLOSED && this.#events === events)
        setTimeout(() => this.#events === events && this.#connect(), 5_000);
    });
    events.addEventListener('rebuild', (event) => this.#receive(/** @type {Rebuild} */ (JSON.parse(event.data))));
  }

  /** @param {Rebuild} rebuild */
  #receive(rebuild) {
    if (isLive(rebuild)) {
      this.#live.set(rebuild.id, rebuild);
      this.#fillRunning();
      return;
    }
    this.#live.delete(rebuild.id);
    this.#fillRunning();
    announce(rebuild.state === 'done' ? 'A rebuild is done' : `A rebuild failed: ${rebuild.error ?? ''}`);
    void this.#load();
  }

  /** @param {string} text @param {string} kind */
  #say(text, kind) {
    this.#connection.textContent = text;
    this.#connection.className = `connection ${kind}`;
  }

  /** @param {string} text @param {() => void} [again] */
  #tell(text, again) {
    this.#message.replaceChildren(h('p', {}, text));
    if (again) this.#message.append(h('button', { type: 'button', onclick: again }, 'Try again'));
    this.#message.hidden = false;
  }

  #fill() {
    const status = this.#status;
    if (status === undefined) return;
    this.#fillRunning();
    this.#indexes.replaceChildren(...status.indexes.map((index) => indexCard(index, status)));
    this.#failures.replaceChildren(failures(status));
    this.#changes.replaceChildren(changes(status));
    this.#rebuilds.replaceChildren(rebuildTable(status));
    this.#registries.replaceChildren(registryTable(status));
    this.#bus.replaceChildren(bus(status));
    if (status.deltas !== undefined) {
      this.#deltas.replaceChildren(h('h2', { id: 'h-deltas' }, 'Deltas'), deltas(status.deltas));
      this.#deltas.hidden = false;
    }
    if (status.sharing !== undefined) {
      this.#replicas.replaceChildren(h('h2', { id: 'h-replicas' }, 'Replicas'), replicas(status.sharing));
      this.#replicas.hidden = false;
    }
  }

  /** Updates progress bars in place. */
  #fillRunning() {
    for (const [id, { element }] of this.#bars) {
      if (this.#live.has(id)) continue;
      element.remove();
      this.#bars.delete(id);
    }
    for (const rebuild of this.#live.values()) {
      let bar = this.#bars.get(rebuild.id);
      if (bar === undefined) {
        bar = progressBar(rebuild);
        this.#bars.set(rebuild.id, bar);
        this.#running.append(bar.element);
      }
      bar.update(rebuild);
    }
  }

  #fillAdmin() {
    const token = sessionStorage.getItem(TOKEN);
    this.#admin.replaceChildren(token === null ? this.#tokenForm('') : this.#rebuildButtons(token));
  }

  /** @param {string} problem */
  #tokenForm(problem) {
    const input = h('input', {
      type: 'password',
      id: 'token',
      name: 'token',
      autocomplete: 'off',
      required: true,
      'aria-describedby': 'token-hint',
    });
    const use = (/** @type {Event} */ event) => {
      event.preventDefault();
      sessionStorage.setItem(TOKEN, input.value.trim());
      this.#fillAdmin();
      void this.#load();
      this.#admin.querySelector('button')?.focus();
    };
    return h(
      'form',
      { class: 'token', onsubmit: use },
      problem !== '' && h('p', { class: 'danger', role: 'alert' }, problem),
      h('label', { for: 'token' }, 'Admin token'),
      input,
      h('button', { type: 'submit' }, 'Use token'),
      h(
        'p',
        { id: 'token-hint', class: 'hint' },
        'The value of “server.admin_token” in the configuration. It is kept in this tab until you close it.',
      ),
    );
  }

  /** @param {string} token */
  #rebuildButtons(token) {
    const result = h('p', { class: 'hint', role: 'status' });
    const rebuild = async (/** @type {string | undefined} */ index) => {
      try {
        await requestRebuild(token, index);
        result.textContent = 'Rebuild requested.';
      } catch (error) {
        result.textContent = this.#refused(error);
      }
    };
    const { indexes } = known();
    const buttons = h(
      'div',
      { class: 'buttons' },
      h('button', { type: 'button', class: 'button', onclick: () => void rebuild(undefined) }, 'Rebuild everything'),
      indexes.length > 1
        ? indexes.map(({ name, title }) =>
            h('button', { type: 'button', onclick: () => void rebuild(name) }, `Rebuild ${title}`),
          )
        : [],
      h(
        'button',
        {
          type: 'button',
          onclick: () => {
            sessionStorage.removeItem(TOKEN);
            this.#fillAdmin();
            void this.#load();
          },
        },
        'Forget the token',
      ),
      result,
    );
    return h(
      'div',
      {},
      buttons,
      explainForm(token, (error) => this.#refused(error)),
    );
  }

  /** Returns what an error says; if the token was refused, asks for another one. @param {unknown} error */
  #refused(error) {
    const message = error instanceof Error ? error.message : String(error);
    if (isRefused(error)) {
      sessionStorage.removeItem(TOKEN);
      this.#admin.replaceChildren(
        this.#tokenForm(error.status === 401 ? 'The token is wrong. Type it again.' : message),
      );
      this.#admin.querySelector('input')?.focus();
    }
    return message;
  }
}

/**
 * Says whether the token was refused.
 * @param {unknown} error
 * @returns {error is Refusal}
 */
function isRefused(error) {
  return error instanceof Refusal && (error.status === 401 || error.status === 403);
}

/** @param {Rebuild} rebuild */
function isLive({ state }) {
  return state === 'queued' || state === 'running';
}

/** @param {string} title @param {HTMLElement} content */
function titled(title, content) {
  const id = `h-${title.toLowerCase().replaceAll(' ', '-')}`;
  return h('section', { 'aria-labelledby': id }, h('h2', { id }, title), content);
}

/** @param {string | undefined} iso */
function moment(iso) {
  return iso === undefined ? '' : h('time', { datetime: iso, title: time(iso) }, ago(iso));
}

/** @param {string | undefined} registry */
function indexesOf(registry, /** @type {Status | undefined} */ status) {
  return (
    status?.indexes
      .filter((index) => index.registry === registry)
      .map(({ name }) => name)
      .join(', ') ||
    registry ||
    'everything'
  );
}

/** @param {readonly string[]} reasons */
function reasonsOf(reasons) {
  return [...new Set(reasons.map((reason) => (/^rebuild \S+ failed$/.test(reason) ? 'retry' : reason)))].join(', ');
}

/** @param {Rebuild} first */
function progressBar(first) {
  const title = h('h2', { id: `r-${first.id}` });
  const bar = h('progress', { 'aria-labelledby': `r-${first.id}` });
  const words = h('p', { class: 'hint' });
  /** @param {Rebuild} rebuild */
  const update = ({ state, progress, dueAt, registry = 'everything', reasons }) => {
    title.textContent = state === 'queued' ? `Queued: ${registry}` : `Rebuilding from ${registry}`;
    if (state === 'queued') {
      bar.hidden = true;
      words.textContent = `${dueAt === undefined ? 'It starts when the previous one has ended.' : `It is retried ${ago(dueAt)}.`} Reason: ${reasonsOf(reasons)}`;
      return;
    }
    bar.hidden = false;
    if (progress === undefined || progress.repositories.total === 0) {
      bar.removeAttribute('value');
      words.textContent = progress?.phase === 'rendering' ? 'Writing the index' : 'Reading the list of repositories';
      return;
    }
    bar.max = progress.repositories.total;
    bar.value = progress.repositories.done;
    const read = `${number(progress.repositories.done)} of ${counted(progress.repositories.total, 'repository', 'repositories')} read, ${counted(progress.images.done, 'new image')}, ${counted(progress.requests, 'request')}`;
    words.textContent = progress.phase === 'rendering' ? `Writing the index. ${read}` : read;
  };
  return { element: h('div', { class: 'progress' }, title, bar, words), update };
}

/**
 * @param {Status['indexes'][number]} index
 * @param {Status} status
 */
function indexCard({ name, registry, ready, images = 0, bytes = 0, modified, warnings, lastRebuild }, status) {
  const texts = known().indexes.find((index) => index.name === name);
  const told = [...new Set([...warnings, ...(lastRebuild?.warnings ?? [])])];
  const failed = lastRebuild?.state === 'failed';
  const bars = status.rebuilds
    .filter(
      (rebuild) => rebuild.registry === registry && rebuild.finishedAt !== undefined && rebuild.startedAt !== undefined,
    )
    .map((rebuild) => ({
      seconds: (Date.parse(rebuild.finishedAt ?? '') - Date.parse(rebuild.startedAt ?? '')) / 1000,
      changed: rebuild.result?.indexes.some((result) => result.index === name && result.changed) ?? false,
      failed: rebuild.state === 'failed',
      when: time(rebuild.finishedAt ?? ''),
    }))
    .toReversed();
  const badge =
    !ready && !failed
      ? h('span', { class: 'badge' }, 'Being built')
      : failed
        ? h('span', { class: 'badge danger' }, 'Last rebuild failed')
        : h('span', { class: 'badge good' }, 'Up to date');
  return h(
    'article',
    { class: 'index', 'aria-label': texts?.title ?? name },
    h('h3', {}, h('a', { href: texts?.home ?? known().root }, texts?.title ?? name), badge),
    h(
      'p',
      {},
      ready
        ? `${counted(images, 'image')}, ${size(bytes)}`
        : failed
          ? 'It could not be built yet. It is retried until it succeeds.'
          : 'Not built yet.',
    ),
    h(
      'p',
      { class: 'hint' },
      lastRebuild === undefined
        ? 'Not rebuilt since the start'
        : [
            failed ? 'Tried ' : 'Rebuilt ',
            moment(lastRebuild.finishedAt),
            ` ${failed ? 'for' : 'in'} ${duration(lastRebuild.seconds)}`,
          ],
      modified !== undefined && [', last change ', moment(modified)].map((part) => part),
    ),
    lastRebuild?.error !== undefined && h('p', { class: 'danger' }, lastRebuild.error),
    told.length > 0 &&
      h(
        'details',
        {},
        h('summary', {}, counted(told.length, 'warning')),
        h(
          'ul',
          {},
          told.map((warning) => h('li', {}, warning)),
        ),
      ),
    bars.length > 0 ? rebuildChart(bars) : '',
  );
}

/** @param {Status} status */
function failures({ rebuilds, indexes }) {
  const registries = [...new Set(indexes.map(({ registry }) => registry))];
  const failed = registries.flatMap((registry) => {
    const last = rebuilds.find((rebuild) => rebuild.registry === registry && rebuild.finishedAt !== undefined);
    const rows =
      last?.result?.failures.map(({ repository, error }) =>
        h('li', {}, h('code', {}, repository ?? registry), ` ${error}`),
      ) ?? [];
    const others = (last?.result?.failed ?? 0) - rows.length;
    return others > 0 ? [...rows, h('li', {}, `and ${number(others)} more`)] : rows;
  });
  return failed.length === 0
    ? h('p', { class: 'hint' }, 'None: the last rebuild read all repositories.')
    : h(
        'div',
        {},
        h('ul', { class: 'failures' }, failed),
        h('p', { class: 'hint' }, 'Their last known state is still served, and they are retried.'),
      );
}

/** @param {Status} status */
function changes({ rebuilds }) {
  const entries = rebuilds.flatMap(({ finishedAt, result }) =>
    (result?.indexes ?? []).flatMap(({ index, apps }) => {
      if (apps === undefined) return [];
      const parts = /** @type {const} */ ([
        ['Added', apps.added],
        ['Updated', apps.updated],
        ['Removed', apps.removed],
      ]).filter(([, { count }]) => count > 0);
      return parts.length === 0
        ? []
        : [
            h(
              'li',
              {},
              h('p', { class: 'hint' }, index, ', ', moment(finishedAt)),
              h(
                'dl',
                {},
                parts.flatMap(([word, { count, ids }]) => [
                  h('dt', {}, `${word} (${number(count)})`),
                  h(
                    'dd',
                    {},
                    idList(word, ids, index),
                    count > ids.length && ` and ${number(count - ids.length)} more`,
                  ),
                ]),
              ),
            ),
          ];
    }),
  );
  return entries.length === 0
    ? h('p', { class: 'hint' }, 'No app has changed since the service started or read its configuration.')
    : h('ul', { class: 'changes' }, entries.slice(0, LISTED));
}

/**
 * @param {string} word
 * @param {readonly string[]} ids
 * @param {string} index
 */
function idList(word, ids, index) {
  return ids.flatMap((id, place) => [
    place > 0 ? ', ' : '',
    word === 'Removed' ? id : h('a', { href: appAddress(index, id) }, id),
  ]);
}

/** @param {Status} status */
function rebuildTable(status) {
  const ended = status.rebuilds.filter(({ finishedAt }) => finishedAt !== undefined).slice(0, LISTED);
  if (ended.length === 0) return h('p', { class: 'hint' }, 'No rebuild has ended yet.');
  const row = (
    /** @type {Rebuild} */ { finishedAt, startedAt, registry, reasons, otherReasons, state, result, error },
  ) =>
    h(
      'tr',
      {},
      h('th', { scope: 'row' }, moment(finishedAt)),
      h('td', {}, indexesOf(registry, status)),
      h(
        'td',
        {},
        state === 'done'
          ? result?.indexes.some(({ changed }) => changed)
            ? 'Changed'
            : 'Nothing changed'
          : h('span', { class: 'danger' }, `Failed: ${error ?? ''}`),
      ),
      h(
        'td',
        {},
        startedAt === undefined ? '' : duration((Date.parse(finishedAt ?? '') - Date.parse(startedAt)) / 1000),
      ),
      h('td', {}, result === undefined ? '' : number(result.requests)),
      h('td', {}, reasonsOf(reasons) + (otherReasons > 0 ? ` and ${otherReasons} more` : '')),
    );
  const columns = ['Ended', 'Indexes', 'Result', 'Took', 'Requests', 'Reason'];
  return table({ 'aria-label': 'Rebuilds' }, columns, ended.map(row));
}

/** Ways to find repositories, in words; others are APIs. @type {Readonly<Record<string, string>>} */
const LISTED_BY = { catalog: 'Its catalog', names: 'Names in the configuration', folder: 'Its folder' };

/** @param {Status} status */
function registryTable({ registries }) {
  const columns = ['Registry', 'Indexes', 'Repositories from', 'Last notification', 'Changes'];
  return table({ 'aria-label': 'Registries' }, columns, registries.map(registryRow));
}

/** @param {Status['registries'][number]} registry */
function registryRow({ registry = 'Not known yet', indexes, listedBy, notifications: { triggered, last } }) {
  return h(
    'tr',
    {},
    h('th', { scope: 'row' }, registry),
    h('td', {}, indexes.join(', ')),
    h('td', {}, LISTED_BY[listedBy] ?? `The API of ${listedBy}`),
    h('td', {}, last === undefined ? 'None since the start' : moment(last)),
    h('td', {}, number(triggered)),
  );
}

/**
 * Lists facts; those that are empty are left out.
 * @param {readonly (readonly [word: string, value: string | readonly (Node | string)[]])[]} all
 */
function factList(all) {
  return h(
    'dl',
    { class: 'facts' },
    all.flatMap(([word, value]) => (value === '' ? [] : [h('div', {}, h('dt', {}, word), h('dd', {}, value))])),
  );
}

/** @param {NonNullable<Status['deltas']>} counts */
function deltas({ pending, made, unsuitable, failed, bytes, saved, stored, full, making, lastError }) {
  return factList([
    ['Made', `${number(made)}, ${size(bytes)} in place of ${size(bytes + saved)}`],
    ['Waiting', full ? `${number(pending)}, until there is room for them` : number(pending)],
    ['Being made', making === undefined ? '' : making.repository],
    ['Of no use', number(unsuitable)],
    ['Failed', number(failed)],
    ['In the store', size(stored)],
    ['Last error', lastError === undefined ? '' : [lastError.message, ', ', moment(lastError.at)]],
  ]);
}

/** @param {NonNullable<Status['sharing']>} sharing */
function replicas({ database, lag, notReady, replicas: all }) {
  const row = (/** @type {typeof all[number]} */ replica) => {
    const { name, version, configuration, startedAt, seenAt, living, leads, self } = replica;
    return h(
      'tr',
      {},
      h('th', { scope: 'row' }, self ? `${name} (this one)` : name),
      h('td', {}, living ? (leads ? 'Leads' : 'Answers') : h('span', { class: 'danger' }, 'Gone')),
      h('td', {}, version),
      h('td', {}, h('code', {}, configuration.slice(0, 8))),
      h('td', {}, moment(startedAt)),
      h('td', {}, moment(seenAt)),
    );
  };
  const columns = ['Replica', 'State', 'Version', 'Configuration', 'Started', 'Last sign of life'];
  return h(
    'div',
    {},
    factList([
      ['Database', [database.available ? 'Answers since ' : 'Away since ', moment(database.since)]],
      ['This replica is behind by', duration(lag)],
      ['Not ready', notReady ?? ''],
    ]),
    table({ 'aria-label': 'Replicas' }, columns, all.map(row)),
  );
}

/** @param {Status['events']} counts */
function inWords({ triggered, ignored, malformed }) {
  return `${number(triggered)} led to a rebuild, ${number(ignored)} did not concern an index, ${number(malformed)} were invalid`;
}

/** @param {Status} status */
function bus({ bus: state, events, version, startedAt }) {
  return h(
    'dl',
    { class: 'facts' },
    h(
      'div',
      {},
      h('dt', {}, 'Message bus'),
      h(
        'dd',
        {},
        state === null
          ? 'Not configured'
          : [
              state.state === 'connected' ? 'Connected to ' : 'Not connected to ',
              h('code', {}, state.url ?? ''),
              ', since ',
              moment(state.since),
            ],
      ),
    ),
    state !== null && h('div', {}, h('dt', {}, 'Messages'), h('dd', {}, inWords(state.messages))),
    state?.lastError !== undefined &&
      h(
        'div',
        {},
        h('dt', {}, 'Last error of the bus'),
        h('dd', {}, state.lastError.message, ', ', moment(state.lastError.at)),
      ),
    h('div', {}, h('dt', {}, 'Notifications from registries'), h('dd', {}, inWords(events))),
    h('div', {}, h('dt', {}, 'Service'), h('dd', {}, `regindexer ${version}, started `, moment(startedAt))),
  );
}

const view = new StatusView();
byId('main').replaceChildren(view.element);
view.show();
