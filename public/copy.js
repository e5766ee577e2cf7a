/** A command with a button that copies it. */
import { announce, breakable, h } from './dom.js';

/** How long the button confirms the copy, in milliseconds. */
const SAID = 2_000;

/**
 * Returns a command with its button.
 * @param {string} text
 * @param {string} label what the command does
 */
export function command(text, label) {
  const code = h('code', { tabindex: 0 }, breakable(text));
  const button = h(
    'button',
    { type: 'button', class: 'copy', 'aria-label': `Copy: ${label}`, onclick: () => void copy() },
    'Copy',
  );
  const copy = async () => {
    const copied = await copyText(text, code);
    button.textContent = copied ? 'Copied' : 'Press Ctrl+C';
    announce(copied ? 'Copied to the clipboard' : 'Press Ctrl+C to copy the command');
    setTimeout(() => (button.textContent = 'Copy'), SAID);
  };
  return h('div', { class: 'command' }, code, button);
}

/**
 * Copies text. Without HTTPS there is no clipboard: then selects the text, and returns false.
 * @param {string} text
 * @param {HTMLElement} element
 */
async function copyText(text, element) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    getSelection()?.selectAllChildren(element);
    return false;
  }
}
