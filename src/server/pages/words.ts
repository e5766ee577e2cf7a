/** Numbers, sizes and dates as people read them. */

const NUMBER = new Intl.NumberFormat('en');
const DAY = new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeZone: 'UTC' });
const UNITS = ['kB', 'MB', 'GB', 'TB'];

/** Formats a number. */
export function number(value: number): string {
  return NUMBER.format(value);
}

/** Formats a number with its noun: “2 apps”. */
export function counted(count: number, one: string, several: string = `${one}s`): string {
  return `${number(count)} ${count === 1 ? one : several}`;
}

/** Formats a size in bytes. */
export function size(bytes: number): string {
  if (bytes < 1000) return counted(bytes, 'byte');
  const power = Math.min(Math.floor(Math.log10(bytes) / 3), UNITS.length);
  const value = bytes / 1000 ** power;
  return `${value < 10 ? value.toFixed(1) : Math.round(value)}\u00A0${UNITS[power - 1]}`;
}

/** Formats a date in ISO 8601; empty if it is invalid. */
export function day(iso: string): string {
  const date = new Date(iso);
  return Number.isNaN(date.getTime()) ? '' : DAY.format(date);
}

/** Words for the lowest age of people whom an app is for. */
export function ageWords(age: number): string {
  return age === 0 ? 'All ages' : `${age}+`;
}
