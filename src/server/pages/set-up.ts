/** How to add an index to Flatpak. */
import type { IndexDescription } from '../site.ts';
import { command } from './command.ts';
import { html, type Html } from './html.ts';
import type { PageContext } from './page.ts';

/** Writes a button that shows the file and the command that add an index. */
export function setUp(context: PageContext, index: IndexDescription): Html {
  return html`<details class="set-up">
    <summary class="button">Set up</summary>
    <div class="panel">
      <p>
        <a class="button" href="${context.links.repo(index.name)}">Add ${index.title}</a>
      </p>
      <p class="hint">Your software centre opens this file, and then shows and updates these apps. Or in a terminal:</p>
      ${addCommand(context, index)}
    </div>
  </details>`;
}

/** Writes the command that adds an index. */
export function addCommand({ links, base }: PageContext, { name, title, remoteName }: IndexDescription): Html {
  return command(
    `flatpak remote-add --user --if-not-exists ${remoteName} ${new URL(links.repo(name), base).href}`,
    `the command that adds ${title}`,
  );
}
