/** Log lines as people at a terminal read them. */
import { styleText } from 'node:util';

interface LogLine {
  readonly level: string;
  readonly msg?: string;
  /** The index that the message is about. */
  readonly index?: string;
  readonly err?: { readonly message: string; readonly stack?: string };
}

/** Turns a JSON line of the log into plain text: its message and the reason of an error, without the other fields. */
export function plainLine(line: string): string {
  const { level, msg = '', index, err } = JSON.parse(line) as LogLine;
  const about = index === undefined || msg.includes(index) ? '' : `${index}: `;
  const cause = err === undefined || msg.includes(err.message) ? '' : `: ${err.message}`;
  const stack = level === 'fatal' && err?.stack !== undefined ? `\n${err.stack}` : '';
  return `${label(level)}${visible(`${about}${msg}${cause}${stack}`)}\n`;
}

function label(level: string): string {
  if (level === 'info') return '';
  const [color, text] = level === 'warn' ? (['yellow', 'Warning'] as const) : (['red', 'Error'] as const);
  return `${styleText(color, `${text}:`, { stream: process.stderr })} `;
}

/** Escapes control characters: a registry's names and answers must not control the terminal. */
export function visible(text: string): string {
  return text.replace(/(?!\n)\p{Cc}/gu, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
