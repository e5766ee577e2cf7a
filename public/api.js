/** Requests to the server. */
/** @typedef {import('../src/server/routes/api.ts').AppListAnswer} AppList */
/** @typedef {import('../src/server/pages/page.ts').Known} Known */
/** @typedef {import('../src/server/routes/rebuilds/rebuild-view.ts').RebuildAnswer} Rebuild */
/** @typedef {import('../src/server/routes/rebuilds/status.ts').StatusAnswer} Status */
/** @typedef {import('../src/server/routes/rebuilds/explain.ts').ExplainAnswer} Explanation */
/** @typedef {AppList['apps'][number] & { index: string }} ListedApp */

/** An error answer of the server, with a message for people. */
export class Refusal extends Error {
  /**
   * @param {number} status 0 if the server did not answer
   * @param {string} message
   */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** @type {Known} */
const KNOWN = JSON.parse(document.body.dataset['known'] ?? '');

/** Returns the data in the HTML. */
export function known() {
  return KNOWN;
}

/**
 * Returns the path of an app's page.
 * @param {string} index
 * @param {string} id
 */
export function appAddress(index, id) {
  const { root, exported } = known();
  return `${root}${index}/${id}${exported ? '.html' : ''}`;
}

/**
 * Requests JSON. Throws a Refusal with a message for people.
 * @template T
 * @param {string} path
 * @param {RequestInit} [options]
 * @returns {Promise<T>}
 */
async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Refusal(0, 'The server does not answer. It may be restarting, or the network may be down.');
  }
  const body = await response.json().catch(() => null);
  if (!response.ok)
    throw new Refusal(response.status, body?.message ?? `The server answered with an error (${response.status}).`);
  if (body === null) throw new Refusal(response.status, 'The server sent an invalid answer.');
  return body;
}

/**
 * Requests the apps of an index. Each gets the name of the index.
 * @param {Known['indexes'][number]} index
 * @returns {Promise<ListedApp[]>}
 */
export async function fetchApps({ name, apps: path }) {
  /** @type {AppList} */
  const { apps } = await ask(path);
  return apps.map((app) => ({ ...app, index: name }));
}

/**
 * Requests the state of the service.
 * @param {string | null} token the administrator's, who is told of hosts and errors as well
 * @returns {Promise<Status>}
 */
export function fetchStatus(token) {
  return ask(`${known().root}status`, token === null ? {} : { headers: { authorization: `Bearer ${token}` } });
}

/**
 * Requests a rebuild of one index, or of everything if `index` is undefined.
 * @param {string} token
 * @param {string | undefined} index
 * @returns {Promise<Rebuild>}
 */
export function requestRebuild(token, index) {
  return ask(`${known().root}reindex`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify(index === undefined ? {} : { index }),
  });
}

/**
 * Requests why the indexes show the images of a repository, or do not.
 * @param {string} token
 * @param {string} reference REPOSITORY[:TAG]
 * @returns {Promise<Explanation>}
 */
export function requestExplanation(token, reference) {
  return ask(`${known().root}status/explain?${new URLSearchParams({ reference }).toString()}`, {
    headers: { authorization: `Bearer ${token}` },
  });
}

/**
 * Resolves the URL of an icon; undefined if there is none, or its scheme is not allowed.
 * @param {string} icon
 * @param {string} index
 */
export function iconAddress(icon, index) {
  if (icon === '') return undefined;
  const url = URL.parse(icon, `${location.origin}${known().root}${index}/index/static`);
  return url !== null && (url.protocol === 'http:' || url.protocol === 'https:' || icon.startsWith('data:image/png;'))
    ? url.href
    : undefined;
}
