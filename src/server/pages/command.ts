/** A command for a terminal, with a button that copies it. */
import { html, type Html } from './html.ts';

/**
 * Writes a command.
 * @param label what the command does
 */
export function command(text: string, label: string): Html {
  return html`<div class="command">
    <code tabindex="0" dir="ltr">${breakable(text)}</code
    ><button type="button" class="copy scripted" aria-label="Copy: ${label}" data-copy="${text}">Copy</button>
  </div>`;
}

/** Lets a command or URL break at readable places: never within an option, and after a slash rather than in a word. */
export function breakable(text: string): readonly (Html | string)[] {
  return text
    .split(/( )/)
    .flatMap((word) =>
      word.startsWith('-')
        ? [html`<span class="option">${word}</span>`]
        : word
            .split(/(?<=[^/]\/)(?!\/)|(?=\.flatpak)/)
            .flatMap((part, place) => (place === 0 ? [part] : [html`<wbr />`, part])),
    );
}
