/** What is said of answers that never change: they are named by their content. A year is the longest that is of any use. */
export const IMMUTABLE = 'public, max-age=31536000, immutable';
