/** The search field of all pages, its filters, and the place for what it finds. Scripts fill both. */
import { appCard } from './app-card.ts';
import { html, type Html } from './html.ts';

/**
 * Writes the search field.
 * @param home where results are shown
 * @param live whether this page shows them as one types; it then has the filters too
 */
export function searchForm(home: string, live: boolean): Html {
  return html`<form class="search scripted" role="search" action="${home}">
    <label for="q" class="unseen">Search by name, id, developer, summary and keywords</label>
    <input
      type="search"
      id="q"
      name="q"
      placeholder="Search apps"
      autocomplete="off"
      spellcheck="false"
      enterkeyhint="search"
    />
    <button type="submit" aria-label="Search">
      <svg viewBox="0 0 24 24" width="22" height="22" aria-hidden="true">
        <circle cx="10.5" cy="10.5" r="6.5" fill="none" stroke="currentColor" stroke-width="2" />
        <path d="M15.5 15.5l5 5" stroke="currentColor" stroke-width="2" stroke-linecap="round" />
      </svg>
    </button>
    ${
      live &&
      html`<details class="filters">
        <summary>Filters</summary>
        <div class="panel">
          <label class="switch"
            ><input type="checkbox" role="switch" id="filter-all" />Runtimes and extensions too</label
          >
          ${select('arch', 'Architecture', 'All architectures')} ${select('tag', 'Tag', 'All tags')}
          ${select('sort', 'Sort', 'By name', html`<option value="newest">Newest first</option>`)}
        </div>
      </details>`
    }
  </form>`;
}

function select(name: string, label: string, first: string, others?: Html): Html {
  return html`<div>
    <label for="filter-${name}">${label}</label
    ><select id="filter-${name}">
      <option value="">${first}</option>
      ${others}
    </select>
  </div>`;
}

/**
 * Writes the place of results, and the card that scripts copy for each.
 * @param icon stands for that of an app
 */
export function searchResults(icon: string): Html {
  const card = appCard({
    kind: 'extension',
    name: 'App',
    summary: '',
    developer: '',
    endOfLife: 'yes',
    replacedBy: '',
    id: '',
    href: '',
    icon,
  });
  return html`<section class="results" aria-labelledby="count">
    <h2 id="count">Search</h2>
    <div class="notice" hidden></div>
    <ul class="grid" aria-label="Results"></ul>
    <button type="button" class="more" hidden>Show more</button>
    <template id="card">${card}</template>
  </section>`;
}
