/** Section of an app's page about its releases. */
import type { Release } from '../../indexing/appdata/appdata.ts';
import { blocks } from './blocks.ts';
import { html, type Html } from './html.ts';
import { section } from './section.ts';
import { day } from './words.ts';

/**
 * Writes the newest release, and the others folded.
 * @param lang attribute with the language of the newest one's notes
 */
export function whatIsNew([newest, ...others]: readonly Release[], lang: Html | false): Html {
  return section(
    'releases',
    'What is new',
    html`${newest && release(newest, lang)}
    ${
      others.length > 0 &&
      html`<details>
        <summary>Earlier versions</summary>
        ${others.map((other) => release(other, false))}
      </details>`
    }`,
  );
}

function release({ version, date, notes, url }: Release, lang: Html | false): Html {
  return html`<div class="release">
    <h3>${version || 'Unnamed version'}${date !== '' && html` <time datetime="${date}">${day(date)}</time>`}</h3>
    ${notes.length > 0 && html`<div dir="auto" ${lang}>${blocks(notes)}</div>`}
    ${notes.length === 0 && url === '' && html`<p class="hint">There are no notes for this version.</p>`}
    ${
      url !== '' &&
      html`<p>
        <a href="${url}" rel="noopener noreferrer">More about <span class="unseen">version ${version}</span></a>
      </p>`
    }
  </div>`;
}
