/** Section of an app's page about its permissions. */
import type { Permission, Safety } from '../../indexing/appdata/permissions.ts';
import { html, type Html } from './html.ts';
import { number } from './words.ts';

const GROUPS = {
  network: 'Network',
  files: 'Files',
  devices: 'Devices',
  sockets: 'Display, sound and more',
  bus: 'Other programs',
  features: 'Features',
} as const;
/** One word for how far an app has to be trusted. */
export const SAFETY: Readonly<Record<Safety, string>> = {
  safe: 'Safe',
  'probably-safe': 'Probably safe',
  'potentially-unsafe': 'Potentially unsafe',
};

/** Writes all permissions in groups. */
export function permissionList(all: readonly Permission[]): Html {
  if (all.length === 0) return html`<p>It asks for no permissions, and stays within its sandbox.</p>`;
  const dangerous = all.filter((permission) => permission.dangerous).length;
  const groups = Object.entries(GROUPS).map(([kind, words]) => {
    const own = all.filter((permission) => permission.kind === kind);
    return (
      own.length > 0 &&
      html`<div>
        <dt>${words}</dt>
        <dd>
          <ul>
            ${own.map(permissionEntry)}
          </ul>
        </dd>
      </div>`
    );
  });
  return html`${
      dangerous > 0 &&
      html`<p class="danger">${number(dangerous)} of these permissions can reach beyond the sandbox.</p>`
    }
    <dl>${groups}</dl>`;
}

function permissionEntry({ text, dangerous }: Permission): Html {
  return dangerous ? html`<li class="danger">${text} <span class="badge">Careful</span></li>` : html`<li>${text}</li>`;
}
