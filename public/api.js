/** Requests to the server. */
import { ROOT } from './root.js';

/** @typedef {import('../src/server/routes/api.ts').AppListAnswer} AppList */
/** @typedef {import('../src/server/routes/api.ts').AppAnswer} App */
/** @typedef {import('../src/server/routes/page.ts').Known} Known */
/** @typedef {import('../src/server/routes/rebuilds/rebuild-view.ts').RebuildAnswer} Rebuild */
/** @typedef {import('../src/server/routes/rebuilds/status.ts').StatusAnswer} Status */
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

/** Returns the data in the HTML: the indexes and their texts. */
export function known() {
  return /** @type {Known} */ (JSON.parse(document.body.dataset['known'] ?? ''));
}

/** Returns the public URL of the server, without a slash at its end. */
export function base() {
  return known().base ?? location.origin + ROOT.slice(0, -1);
}

/**
 * Requests JSON. Throws a Refusal with a message for people.
 * @template T
 * @param {string} path relative to ROOT
 * @param {RequestInit} [options]
 * @returns {Promise<T>}
 */
async function ask(path, options) {
  let response;
  try {
    response = await fetch(ROOT + path, options);
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
 * @param {string} index
 * @returns {Promise<ListedApp[]>}
 */
export async function fetchApps(index) {
  /** @type {AppList} */
  const { apps } = await ask(
    known().exported ? `api/${encodeURIComponent(index)}/apps.json` : `api/apps?index=${encodeURIComponent(index)}`,
  );
  return apps.map((app) => ({ ...app, index }));
}

/**
 * Requests the details of an app.
 * @param {string} id
 * @param {string} index
 * @returns {Promise<App>}
 */
export function fetchApp(id, index) {
  return ask(
    known().exported
      ? `api/${encodeURIComponent(index)}/apps/${encodeURIComponent(id)}.json`
      : `api/apps/${encodeURIComponent(id)}?index=${encodeURIComponent(index)}`,
  );
}

/**
 * Requests the state of the service.
 * @returns {Promise<Status>}
 */
export function fetchStatus() {
  return ask('status');
}

/**
 * Requests a rebuild of one index, or of everything if `index` is undefined.
 * @param {string} token
 * @param {string | undefined} index
 * @returns {Promise<Rebuild>}
 */
export function requestRebuild(token, index) {
  return ask('reindex', {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify(index === undefined ? {} : { index }),
  });
}

/**
 * Resolves the URL of an icon; undefined if there is none, or its scheme is not allowed.
 * @param {string} icon
 * @param {string} index
 */
export function iconAddress(icon, index) {
  if (icon === '') return undefined;
  const url = URL.parse(icon, `${location.origin}${ROOT}${encodeURIComponent(index)}/index/static`);
  return url !== null && (url.protocol === 'http:' || url.protocol === 'https:' || icon.startsWith('data:image/png;'))
    ? url.href
    : undefined;
}
