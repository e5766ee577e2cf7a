/** All images of an app: its tags, architectures and branches. */
import type { AppDetails, AppImage } from '../../indexing/appdata/app-details.ts';
import type { IndexDescription } from '../site.ts';
import { html, type Html } from './html.ts';
import type { PageContext } from './page.ts';
import { day, size } from './words.ts';

/** Writes the table of images, each with a link that installs it. */
export function imageTable(
  { links }: PageContext,
  { name: index }: IndexDescription,
  { id, name, images: all }: AppDetails,
): Html {
  const row = ({ tags, architecture, branch, built, downloadSize, repository, digest }: AppImage): Html => {
    const [tag] = tags;
    const query = new URLSearchParams({ ...(tag !== undefined && { tag }), arch: architecture });
    const label = `Install ${name}, ${tag ?? 'no tag'}, ${architecture}`;
    return html`<tr>
      <th scope="row">${tags.join(', ') || 'none'}</th>
      <td>${architecture}</td>
      <td>${branch}</td>
      <td>${built !== '' && html`<time datetime="${built}">${day(built)}</time>`}</td>
      <td>${downloadSize > 0 && size(downloadSize)}</td>
      <td><code>${repository}</code></td>
      <td><code class="digest" title="${digest}">${digest}</code></td>
      <td><a href="${links.ref(index, id, `?${query.toString()}`)}" aria-label="${label}">Install</a></td>
    </tr>`;
  };
  const columns = ['Tags', 'Architecture', 'Branch', 'Built', 'Download', 'Repository', 'Digest', 'Install'];
  return html`<div class="table" role="region" aria-label="Other versions" tabindex="0">
    <table>
      <thead>
        <tr>
          ${columns.map((column) => html`<th scope="col">${column}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${all.map(row)}
      </tbody>
    </table>
  </div>`;
}
