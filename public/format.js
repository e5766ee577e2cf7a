/** Formats numbers, sizes and times. */

const NUMBER = new Intl.NumberFormat('en');
const TIME = new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'medium' });
const AGO = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });

/** Formats a number. @param {number} value */
export function number(value) {
  return NUMBER.format(value);
}

/**
 * Formats a number with its noun: “2 apps”.
 * @param {number} count
 * @param {string} one
 * @param {string} [many]
 */
export function counted(count, one, many = `${one}s`) {
  return `${number(count)} ${count === 1 ? one : many}`;
}

/** Formats a size. @param {number} bytes */
export function size(bytes) {
  if (bytes < 1000) return counted(bytes, 'byte');
  const units = ['kB', 'MB', 'GB', 'TB'];
  let value = bytes / 1000;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${value < 10 ? value.toFixed(1) : Math.round(value)}\u00a0${units[unit]}`;
}

/** Formats a duration. @param {number} seconds */
export function duration(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)}\u00a0ms`;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)}\u00a0s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

/** Formats a date and time. @param {string} iso */
export function time(iso) {
  return TIME.format(new Date(iso));
}

/** @type {readonly (readonly [Intl.RelativeTimeFormatUnit, number])[]} */
const SPANS = [
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
  ['second', 1],
];

/** Formats a time relative to now: “2 hours ago”. @param {string} iso */
export function ago(iso) {
  const seconds = (Date.parse(iso) - Date.now()) / 1000;
  for (const [unit, length] of SPANS)
    if (Math.abs(seconds) >= length) return AGO.format(Math.round(seconds / length), unit);
  return 'just now';
}
