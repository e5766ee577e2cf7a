/** A command with a button that copies it. */
import { announce, breakable, h } from './dom.js';

/** How long the button says that it has copied, in milliseconds. */
const SAID = 2_000;

/**
 * @param {string} text
 * @param {string} label what the command does
 */
export function command(text, label) {
  const code = h('code', { tabindex: 0 }, breakable(text));
  const button = h('button', { type: 'button', class: 'copy', 'aria-label': `Copy: ${label}`, onclick: () => void copy() }, 'Copy');
  const copy = async () => {
    const copied = await copyText(text, code);
    button.textContent = copied ? 'Copied' : 'Press Ctrl+C';
    announce(copied ? 'Copied to the clipboard' : 'Press Ctrl+C to copy the command');
    setTimeout(() => (button.textContent = 'Copy'), SAID);
  };
  return h('div', { class: 'command' }, code, button);
}

/**
 * Where the page does not come over HTTPS there is no clipboard for it; then the text is selected, to be copied by hand.
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
