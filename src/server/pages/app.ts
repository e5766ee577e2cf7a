/** The page of one app. */
import type { AppDetails } from '../../indexing/appdata/app-details.ts';
import type { Release } from '../../indexing/appdata/appdata.ts';
import type { DetailsInLanguage } from '../../indexing/appdata/translated-details.ts';
import type { IndexDescription } from '../site.ts';
import { appIcon, KINDS } from './app-card.ts';
import { applicationData } from './app-data.ts';
import { imageTable } from './app-images.ts';
import { permissionList, SAFETY } from './app-permissions.ts';
import { whatIsNew } from './app-releases.ts';
import { blocks, firstParagraph } from './blocks.ts';
import { breakable, command } from './command.ts';
import { html, type Html, type Value } from './html.ts';
import { CATEGORIES } from './listings.ts';
import type { Page, PageContext } from './page.ts';
import { screenshots } from './screenshots.ts';
import { section } from './section.ts';
import { addCommand } from './set-up.ts';
import { ageWords, day, size } from './words.ts';

const LINKS = {
  homepage: 'Website',
  help: 'Help',
  faq: 'Questions and answers',
  bugtracker: 'Report a problem',
  contact: 'Contact',
  donation: 'Donate',
  translate: 'Translate',
  contribute: 'Contribute',
  'vcs-browser': 'Source code',
} as const;
/** Characters of the description that other sites show. */
const MAX_DESCRIPTION = 300;

/** Returns the ids of other apps that the page of an app names, and links to if they are in its index. */
export function othersOf({ runtime, replacedBy }: AppDetails): readonly string[] {
  return [runtimeOf(runtime), replacementOf(replacedBy)].filter((id) => id !== '');
}

/** Returns the id in `ID/ARCHITECTURE/BRANCH`. */
function runtimeOf(runtime: string): string {
  return runtime.replace(/\/.*/s, '');
}

/** Returns the id in a ref, `app/ID/ARCHITECTURE/BRANCH`. */
function replacementOf(ref: string): string {
  return runtimeOf(ref.replace(/^(?:app|runtime)\//, ''));
}

/**
 * Returns the page of an app.
 * @param app its details, and the language of their texts
 */
export async function appPage(
  context: PageContext,
  index: IndexDescription,
  { details: app, language }: DetailsInLanguage,
): Promise<Page> {
  const { site, links, base } = context;
  const { id, kind, name, summary, developer, description, releases, permissions, safety } = app;
  const icon = links.icon(index.name, app);
  const ref = links.ref(index.name, id);
  const shown = othersOf(app).map(async (other) => [other, await site.indexes.get(index.name)?.app(other)] as const);
  const others = new Set((await Promise.all(shown)).flatMap(([other, found]) => (found === undefined ? [] : [other])));
  const lang = language !== 'en' && html`lang="${language}"`;
  return {
    title: name,
    description: (summary || firstParagraph(description)).slice(0, MAX_DESCRIPTION),
    path: links.app(index.name, id),
    index,
    image: icon,
    data: applicationData(context, index, app, icon),
    scripts: app.screenshots.length > 1 ? ['screenshots.js'] : [],
    content: html`<p class="back"><a href="${links.index(index.name)}">← ${index.title}</a></p>
      <article class="app">
        <header class="hero">
          ${appIcon({ id, name, icon }, 128, true)}
          <div class="title">
            <h1 dir="auto" ${lang}>${name}</h1>
            ${developer !== '' && html`<p class="by" dir="auto">${developer}</p>`} ${badges(index, kind, releases)}
          </div>
          <p class="actions">
            <a class="button" href="${ref}">Install<span class="unseen"> ${name}</span></a>
          </p>
        </header>
        ${endOfLife(context, index, app, others)} ${screenshots(links, index.name, app, lang)} ${tiles(app)}
        <div class="columns">
          <div>
            <section class="description" aria-label="About" ${lang}>
              ${summary !== '' && html`<p class="summary" dir="auto">${summary}</p>`}
              <div dir="auto">${blocks(description)}</div>
            </section>
            ${releases.length > 0 && whatIsNew(releases, lang)}
            ${section(
              'permissions',
              'Permissions',
              html`<p class="safety ${safety}">${SAFETY[safety]}</p>
                ${permissionList(permissions)}`,
            )}
          </div>
          <aside>
            ${section(
              'install',
              'Install',
              html`${command(`flatpak install --user ${new URL(ref, base).href}`, `the command that installs ${name}`)}
                <details>
                  <summary>Add all of ${index.title}</summary>
                  ${addCommand(context, index)}
                  <p class="hint">
                    Or open <a href="${links.repo(index.name)}">${index.name}.flatpakrepo</a> with your software centre.
                  </p>
                </details>`,
            )}
            ${app.links.length > 0 && section('links', 'Links', linkList(app))}
            ${section('details', 'Details', facts(context, index, app, others))} ${topics(context, index, app)}
          </aside>
        </div>
        <details class="images">
          <summary>Other versions</summary>
          ${imageTable(context, index, app)}
        </details>
      </article>`,
  };
}

/** Says whether clients check the signatures of an index's images. */
function isSigned({ gpgKey, signatures }: IndexDescription): boolean {
  return gpgKey !== undefined && signatures;
}

function badges(index: IndexDescription, kind: AppDetails['kind'], [newest]: readonly Release[]): Html | false {
  const shown = [
    kind !== 'app' && html`<li class="badge">${KINDS[kind]}</li>`,
    isSigned(index) && html`<li class="badge good">Signed</li>`,
    newest !== undefined && newest.version !== '' && html`<li class="badge">Version ${newest.version}</li>`,
  ];
  return (
    shown.some((badge) => badge !== false) &&
    html`<ul class="badges">
      ${shown}
    </ul>`
  );
}

function endOfLife(
  { links }: PageContext,
  { name: index }: IndexDescription,
  { endOfLife: reason, replacedBy }: AppDetails,
  others: ReadonlySet<string>,
): Html | false {
  if (reason === '' && replacedBy === '') return false;
  const id = replacementOf(replacedBy);
  const name = html`<code>${id}</code>`;
  return html`<div class="notice warning">
    <p><strong>No longer maintained.</strong> ${reason || 'There will be no more updates.'}</p>
    ${
      id !== '' &&
      html`<p>It is replaced by ${others.has(id) ? html`<a href="${links.app(index, id)}">${name}</a>` : name}.</p>`
    }
  </div>`;
}

/** Writes the few facts that most people look for. */
function tiles(app: AppDetails): Html {
  const { licenseName, ageRating, safety, updated } = app;
  const [best] = app.images;
  const [update] = best?.updates.toSorted((a, b) => a.size - b.size) ?? [];
  const shown: readonly (readonly [name: string, value: Value])[] = [
    ['Download', best !== undefined && best.downloadSize > 0 && size(best.downloadSize)],
    [update?.from ? `Update from ${update.from}` : 'Update', update !== undefined && size(update.size)],
    ['Installed size', best !== undefined && best.installedSize > 0 && size(best.installedSize)],
    ['Last update', updated !== '' && html`<time datetime="${updated}">${day(updated)}</time>`],
    ['License', licenseName],
    ['Age', ageRating !== null && ageWords(ageRating.age)],
    ['Safety', html`<a class="${safety}" href="#h-permissions">${SAFETY[safety]}</a>`],
  ];
  return html`<dl class="tiles">
    ${shown.map(
      ([name, value]) =>
        value !== false &&
        value !== '' &&
        html`<div>
          <dt>${name}</dt>
          <dd>${value}</dd>
        </div>`,
    )}
  </dl>`;
}

function linkList({ links }: AppDetails): Html {
  return html`<ul>
    ${links.map(({ kind, url }) => html`<li><a href="${url}" rel="noopener noreferrer">${LINKS[kind]}</a></li>`)}
  </ul>`;
}

function facts(
  { links }: PageContext,
  { name: index, title }: IndexDescription,
  { id, kind, runtime, ageRating, images: all }: AppDetails,
  others: ReadonlySet<string>,
): Html {
  const runtimeText = html`<code>${breakable(runtime)}</code>`;
  const runtimeId = runtimeOf(runtime);
  const known: readonly (readonly [name: string, value: Value])[] = [
    ['ID', html`<code>${breakable(id)}</code>`],
    [
      kind === 'extension' ? 'Extends' : 'Runtime',
      runtime !== '' &&
        (others.has(runtimeId) ? html`<a href="${links.app(index, runtimeId)}">${runtimeText}</a>` : runtimeText),
    ],
    ['Content', ageRating !== null && ageRating.reasons.map(({ text, level }) => `${text} (${level})`).join(', ')],
    ['Architectures', distinct(all.map(({ architecture }) => architecture))],
    ['Tags', distinct(all.flatMap(({ tags }) => tags))],
    ['Index', title],
  ];
  return html`<dl class="facts">
    ${known.map(
      ([word, value]) =>
        value !== false &&
        value !== '' &&
        html`<div>
          <dt>${word}</dt>
          <dd>${value}</dd>
        </div>`,
    )}
  </dl>`;
}

function distinct(values: readonly string[]): string {
  return [...new Set(values)].toSorted().join(', ');
}

/** Writes categories and keywords. */
function topics({ links }: PageContext, { name: index }: IndexDescription, app: AppDetails): Html | false {
  const categories = CATEGORIES.filter(({ name }) => app.kind === 'app' && app.categories.includes(name));
  if (categories.length === 0 && app.keywords.length === 0) return false;
  return section(
    'topics',
    'Topics',
    html`<ul>
      ${categories.map((category) => html`<li><a href="${links.listing(index, category)}">${category.title}</a></li>`)}
      ${app.keywords.map(
        (keyword) =>
          html`<li>
            <a href="${links.index(index)}?${new URLSearchParams({ q: keyword }).toString()}">${keyword}</a>
          </li>`,
      )}
    </ul>`,
  );
}
